"""Rules about tasks: what may be launched, when, on what, and what may be acknowledged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from headgate.model.call import Accept, Acknowledge, Decline, Launch, Reconcile
from headgate.model.event import Disconnected, MasterEvent, Offers, Rescinded, Subscribed, Update
from headgate.model.ids import JobName, OfferId, TaskId, find_attempt
from headgate.model.offer import Offer
from headgate.model.record import Goal
from headgate.model.resources import Resources
from headgate.model.status import TaskState
from headgate.model.task import Stage, WorkerRecord
from headgate.testing.rules import Happening, Heard, Saved, Sent, Ticks, Violation
from headgate.testing.stored_records import StoredRecords
from headgate.testing.timeline import Timeline

_NOW: Final = 1e-6
"""Sums of instants and durations are not exact."""


class WithinOffers:
    """An offer is used once, while it is ours, and for no more than it holds; the master finds no fault with a task."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del store, timeline  # This rule is between us and the master.
        self._offers: dict[str, dict[OfferId, Offer]] = {}

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Heard(who=who, event=event):
                self._hear(self._offers.setdefault(who, {}), event)
            case Sent(who=who, call=Decline(offer_ids=offer_ids)):
                for offer_id in offer_ids:
                    self._offers.setdefault(who, {}).pop(offer_id, None)
            case Sent(who=who, call=Accept() as call):
                self._accept(self._offers.setdefault(who, {}), call)

    def _hear(self, mine: dict[OfferId, Offer], event: MasterEvent) -> None:
        match event:
            case Subscribed() | Disconnected():
                mine.clear()
            case Offers(offers=offers):
                mine.update((offer.id, offer) for offer in offers)
            case Rescinded(offer_id=offer_id):
                mine.pop(offer_id, None)
            case Update(status=status) if status.state is TaskState.ERROR:
                raise Violation("WithinOffers", f"the master found fault with {status.task_id}: {status.message}")

    def _accept(self, mine: dict[OfferId, Offer], call: Accept) -> None:
        offered, taken, agents, held = Resources(), Resources(), set(), {each.id for each in call.reserve}
        for offer_id in call.offer_ids:
            offer = mine.pop(offer_id, None)
            if offer is None:
                raise Violation("WithinOffers", f"offer {offer_id} is not ours (any more)")
            offered += offer.resources
            agents.add(offer.agent_id)
            held |= {each.id for each in offer.reserved}
        for launch in call.launches:
            if agents != {launch.agent_id}:
                raise Violation("WithinOffers", f"{launch.task_id} is for {launch.agent_id}, the offers for {agents}")
            taken += _plain(launch)
            if launch.reservation is not None and launch.reservation not in held:
                raise Violation("WithinOffers", f"{launch.task_id} uses {launch.reservation}, which is not offered")
        for each in call.reserve:
            taken += each.resources
        for freed in call.unreserve:
            if freed.id not in held:
                raise Violation("WithinOffers", f"{freed.id} is given back, and is not offered")
        if not _within(taken, offered):
            raise Violation("WithinOffers", f"{taken} of {offered} for {_names(call)}")


def _plain(launch: Launch) -> Resources:
    """What the launch takes of plain resources."""
    if launch.reservation is not None:
        return Resources(ports=launch.resources.ports)
    taken = launch.resources
    return replace(
        taken,
        cpus_m=0 if "cpus" in launch.revocable else taken.cpus_m,
        mem_m=0 if "mem" in launch.revocable else taken.mem_m,
    )


def _within(taken: Resources, offered: Resources) -> bool:
    scalars = all(getattr(taken, name) <= getattr(offered, name) for name in ("cpus_m", "mem_m", "disk_m", "gpus_m"))
    ports = all(any(each.begin >= has.begin and each.end <= has.end for has in offered.ports) for each in taken.ports)
    return scalars and ports


def _names(call: Accept) -> str:
    return ", ".join(launch.task_id for launch in call.launches)


class IntentSaved:
    """What is launched is recorded before, in a slot that is wanted; a task id is launched once in all time."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # Order is all that counts here.
        self._store = store
        self._launched: set[TaskId] = set()

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Sent(call=Accept(launches=launches)):
                for launch in launches:
                    problem = self._problem(launch)
                    if problem is not None:
                        raise Violation("IntentSaved", f"{launch.task_id} is launched: {problem}")
                    self._launched.add(launch.task_id)

    def _problem(self, launch: Launch) -> str | None:
        task = self._store.tasks.get(launch.task_id)
        if task is None:
            return "the store knows nothing of it"
        if task.agent_id != launch.agent_id:
            return f"on {launch.agent_id}, recorded is {task.agent_id}"
        if launch.task_id in self._launched:
            return "that id was launched before"
        job = self._store.jobs.get(task.job)
        if job is None or job.state.leaving or task.worker >= job.workers:
            return "nobody wants it"
        return None


class OnePerSlot:
    """At most one task is recorded per worker slot, and the slot remembers that its attempt is used up.

    One that is to leave its agent may stay until another has taken its place; one that is killed and does not answer
    owns nothing any more, and does not count.
    """

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # It holds at any time.
        self._store = store

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        if not isinstance(happened, Saved) or not happened.keys("tasks"):
            return
        tasks = self._store.tasks.values()
        counted = [task for task in tasks if task.moving_since is None and task.stage is not Stage.KILLING]
        slots = Counter((task.job, task.worker) for task in counted)
        for task in tasks:
            if slots[task.job, task.worker] > 1:
                raise Violation("OnePerSlot", f"{task.id} is not alone in its slot")
            slot = self._store.workers.get((task.job, task.worker))
            if slot is None or slot.attempts <= task.attempt.attempt:
                raise Violation("OnePerSlot", f"{task.id} is recorded, its slot would give the same id again: {slot}")


class Reconciled:
    """After a subscription nothing is launched before each recorded task was spoken of, or the patience is over.

    The patience is the rule's own, so that settings cannot hide that nobody waited.
    """

    gate_s: Final = 60.0

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # The patience is by the scheduler's own time.
        self._store = store
        self._unknown: dict[str, set[TaskId]] = {}
        self._since: dict[str, float | None] = {}
        self._now = 0.0
        self._asked: set[str] = set()

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Heard(who=who, event=Subscribed()):
                self._unknown[who] = set(self._store.tasks)
                self._since[who] = None
                self._asked.discard(who)
            case Ticks(who=who, now=now):
                self._now = now
                if self._since.get(who) is None:
                    self._since[who] = now
            case Heard(who=who, event=Update(status=status)):
                self._unknown.get(who, set()).discard(status.task_id)
            case Sent(who=who, call=Reconcile()):
                self._asked.add(who)
            case Sent(who=who, call=Accept() as call):
                unknown = self._unknown[who] & self._store.tasks.keys() - {each.task_id for each in call.launches}
                waited_s = self._now - (self._since[who] or self._now)
                if unknown and (who not in self._asked or waited_s < self.gate_s - _NOW):
                    silent = ", ".join(sorted(unknown))
                    raise Violation("Reconciled", f"{_names(call)} {waited_s:.1f} s after, without word of {silent}")


_BEFORE: Final = {
    TaskState.STARTING: frozenset({Stage.LAUNCHING}),
    TaskState.RUNNING: frozenset({Stage.LAUNCHING, Stage.STARTING}),
    TaskState.KILLING: frozenset({Stage.LAUNCHING, Stage.STARTING, Stage.RUNNING}),
}
"""Stages that a saved record cannot be in when such an update has been taken in."""


class SavedBeforeAcknowledged:
    """An update is acknowledged only when the store shows what it has changed."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # Order is all that counts here.
        self._store = store
        self._states: dict[str, TaskState] = {}

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Heard(event=Update(status=status)) if status.uuid:
                self._states[status.uuid] = status.state
            case Sent(call=Acknowledge(task_id=task_id, uuid=uuid)):
                state, task = self._states[uuid], self._store.tasks.get(task_id)
                if task is not None and (state.terminal or task.stage in _BEFORE.get(state, ())):
                    text = f"{state.value} of {task_id} is acknowledged, recorded as {task.stage.value}"
                    raise Violation("SavedBeforeAcknowledged", text)


class BackoffKept:
    """A slot that failed waits, whoever leads; its failures are forgotten when a worker has been well, not before."""

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        self._store = store
        self._now = timeline.now()
        self._failures: dict[tuple[str, int, int], int] = {}
        self._stale_below: dict[tuple[str, int, int], int] = {}
        self._paused: set[JobName] = set()

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Ticks(now=now):
                self._now = now
            case Saved():
                resumed = self._resumed()
                for _, job, worker in happened.keys("workers"):
                    slots = self._store.workers.items()
                    slot = next(slot for (name, number), slot in slots if (name, str(number)) == (job, worker))
                    self._saved(slot, happened.confirmed, forgiven=job in resumed)
            case Sent(call=Accept(launches=launches)):
                for launch in launches:
                    self._launched(launch)

    def _resumed(self) -> set[JobName]:
        """The jobs that people have just let go on."""
        before, self._paused = self._paused, {job.name for job in self._store.jobs.values() if job.goal is Goal.PAUSE}
        return before - self._paused

    def _saved(self, slot: WorkerRecord, confirmed: bool, *, forgiven: bool) -> None:
        """Failures in a row only grow, but for a healthy worker; what nobody heard is saved may be decided anew.

        People who restart or resume a job forgive what was.
        """
        job = self._store.jobs.get(slot.job)
        if job is None:
            return
        key = (job.name, job.submission, slot.worker)
        before = self._failures.get(key, 0)
        forgiven = forgiven or slot.stale_below > self._stale_below.get(key, 0)
        self._stale_below[key] = slot.stale_below
        if confirmed or forgiven:
            self._failures[key] = slot.failures
        if forgiven:
            return
        # Without a task nothing is known of how the worker fared: it may have been well, and gone since.
        tasks = [task for task in self._store.tasks.values() if (task.job, task.worker) == (slot.job, slot.worker)]
        well_since = self._now - job.spec.restart.healthy_after_s + _NOW
        if slot.failures < before and tasks and all((task.running_at or task.since) > well_since for task in tasks):
            raise Violation("BackoffKept", f"{before} failures of worker {slot.worker} of {job.name} are forgotten")

    def _launched(self, launch: Launch) -> None:
        attempt = find_attempt(launch.task_id)
        slot = None if attempt is None else self._store.workers.get((attempt.job, attempt.worker))
        early_s = 0.0 if slot is None else slot.backoff_until - self._now
        if early_s > _NOW:
            raise Violation("BackoffKept", f"{launch.task_id} is launched {early_s:.1f} s before its backoff ends")
