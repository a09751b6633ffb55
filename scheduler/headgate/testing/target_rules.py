"""Rules about the right target: where a task may go, and which task may be killed."""

from __future__ import annotations

import re
from typing import Final

from headgate.model.call import Accept, Kill
from headgate.model.event import MasterEvent, Message, Offers
from headgate.model.ids import OfferId, TaskId
from headgate.model.job import Operator, Placement
from headgate.model.offer import Offer
from headgate.model.task import Stage
from headgate.testing.rules import Happening, Heard, Saved, Sent, Ticks, Violation
from headgate.testing.stored_records import StoredRecords
from headgate.testing.timeline import Timeline


class WhereItMay:
    """What is launched goes where its job's placement lets it."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # It holds at any time.
        self._store = store
        self._offers: dict[OfferId, Offer] = {}

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Heard(event=Offers(offers=offers)):
                self._offers.update((offer.id, offer) for offer in offers)
            case Sent(call=Accept(offer_ids=offer_ids, launches=launches)):
                for launch in launches:
                    task = self._store.tasks.get(launch.task_id)
                    job = None if task is None else self._store.jobs.get(task.job)
                    taken = [self._offers[each] for each in offer_ids if each in self._offers]
                    for rule in job.spec.placement if job is not None else ():
                        if any(_forbids(rule, offer) for offer in taken):
                            where = taken[0].hostname
                            raise Violation("WhereItMay", f"{launch.task_id} goes to {where}, against {rule}")


def _forbids(rule: Placement, offer: Offer) -> bool:
    """Whether a rule forbids the agent, for the operators that look at one agent alone."""
    value = offer.hostname if rule.attribute == "hostname" else offer.attributes.get(rule.attribute)
    if rule.weight is not None or value is None or rule.value is None:
        return False
    matches = re.fullmatch(rule.value, str(value)) is not None
    return (rule.operator is Operator.UNLIKE and matches) or (rule.operator is Operator.LIKE and not matches)


_LEAVING: Final = frozenset({Stage.DRAINING, Stage.KILLING, Stage.UNREACHABLE, Stage.ENDED})


class RightOneKilled:
    """A task that is recorded as one to work is not killed."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # Order is all that counts here.
        self._store = store

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Sent(call=Kill(task_id=task_id)):
                task = self._store.tasks.get(TaskId(task_id))
                if task is not None and task.stage not in _LEAVING:
                    raise Violation("RightOneKilled", f"{task_id} is killed, and recorded as {task.stage.value}")


class SilenceHeard:
    """A task is given up for its silence only if the stream has brought other things for longer than it may be silent.

    A stream on which nothing comes at all says nothing of the task.
    """

    silent_s: Final = 10.0
    """The rule's own patience, so that settings cannot hide that nobody listened; less than the scheduler's, whose time
    is not quite the timeline's: its clock steps, and it takes in events later than they come."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        self._store = store
        self._timeline = timeline
        self._ticking = ""
        self._judged: set[TaskId] = set()
        self._heard: dict[str, float] = {}
        self._reported: dict[tuple[str, str], float] = {}

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Heard(who=who, event=event):
                self._hear(who, event)
            case Ticks(who=who):
                self._ticking = who
            case Saved():
                given_up = [task for task in self._store.tasks.values() if (task.why or "").startswith("no report")]
                for task in given_up:
                    if task.id not in self._judged:
                        self._judge(task.id)

    def _judge(self, task_id: TaskId) -> None:
        self._judged.add(task_id)
        silent_s = self._heard.get(self._ticking, 0.0) - self._reported.get((self._ticking, task_id), 0.0)
        if silent_s < self.silent_s:
            raise Violation(
                "SilenceHeard", f"{task_id} is given up for its silence, of which {silent_s:.1f} s were heard"
            )

    def _hear(self, who: str, event: MasterEvent) -> None:
        now = self._timeline.now()
        self._heard[who] = now
        if isinstance(event, Message):
            self._reported[who, str(event.executor_id)] = now
