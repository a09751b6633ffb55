"""Rules about what a scheduler keeps to itself: offers, and how many workers there may be."""

from __future__ import annotations

from collections import Counter
from typing import Final

from headgate.model.call import Accept, Decline
from headgate.model.event import Disconnected, Offers, Rescinded, Subscribed
from headgate.model.ids import JobName, OfferId
from headgate.model.record import JobRecord
from headgate.model.task import Stage
from headgate.testing.rules import Ended, Happening, Heard, Hindered, Saved, Sent, Violation
from headgate.testing.stored_records import StoredRecords
from headgate.testing.timeline import Timeline


class NothingHoarded:
    """An offer is answered, one way or the other, within `held_s` in which nothing kept the scheduler from it.

    A gang may hold one for 30 s; then it is let go with the next look.
    """

    held_s: Final = 33.0

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del store  # Offers are never saved.
        self._timeline = timeline
        self._held: dict[str, dict[OfferId, int]] = {}
        self._hindered_until: dict[str, float] = {}
        self._watches = 0

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Heard(who=who, event=Offers(offers=offers)):
                self._watch(who, [offer.id for offer in offers], self._timeline.now())
            case Hindered(who=who, until=until):
                # A short hindrance within a long one does not end it.
                self._hindered_until[who] = max(until, self._hindered_until.get(who, until))
                self._watch(who, list(self._held.get(who, ())), until)
            case Sent(who=who, call=Accept(offer_ids=offer_ids) | Decline(offer_ids=offer_ids)):
                self._drop(who, offer_ids)
            case Heard(who=who, event=Rescinded(offer_id=offer_id)):
                self._drop(who, (offer_id,))
            case Heard(who=who, event=Subscribed() | Disconnected()) | Ended(who=who):
                self._held.pop(who, None)

    def _watch(self, who: str, offer_ids: list[OfferId], since: float) -> None:
        self._watches += 1
        mine = self._watches
        self._held.setdefault(who, {}).update((offer_id, mine) for offer_id in offer_ids)

        def look() -> None:
            held = [offer_id for offer_id, watch in self._held.get(who, {}).items() if watch == mine]
            if held:
                raise Violation("NothingHoarded", f"{who} keeps {', '.join(held)} for {self.held_s:.0f} s")

        if offer_ids:
            self._timeline.at(max(since, self._hindered_until.get(who, since)) + self.held_s, look)

    def _drop(self, who: str, offer_ids: tuple[OfferId, ...]) -> None:
        for offer_id in offer_ids:
            self._held.get(who, {}).pop(offer_id, None)


_AT_WORK: Final = frozenset({Stage.LAUNCHING, Stage.STARTING, Stage.RUNNING})


class NoMoreThanWished:
    """When something is launched, a job has no more tasks that are to work than it wishes workers.

    One that leaves its agent for maintenance is replaced before it goes.
    After a wish for fewer those that are to go may stay until their shards are in other hands, and no longer count.
    """

    def __init__(self, store: StoredRecords, timeline: Timeline) -> None:
        del timeline  # It holds at any time.
        self._store = store
        self._allowed: dict[JobName, int] = {}

    def see(self, happened: Happening) -> None:
        """See `Rule`."""
        match happened:
            case Saved():
                for name, job in self._store.jobs.items():
                    still = self._allowed.get(name, 0) if self._stay(job) else 0
                    self._allowed[name] = max(job.workers, still)
            case Sent(call=Accept()):
                tasks = self._store.tasks.values()
                at_work = Counter(task.job for task in tasks if task.stage in _AT_WORK and task.moving_since is None)
                for name, count in sorted(at_work.items()):
                    if count > self._allowed.get(name, 0):
                        text = f"{count} tasks of {name} are to work, wished are {self._allowed.get(name, 0)}"
                        raise Violation("NoMoreThanWished", text)

    def _stay(self, job: JobRecord) -> bool:
        """Whether there are workers at work that are wished no more."""
        tasks = self._store.tasks.values()
        return any(task.job == job.name and task.worker >= job.workers and task.stage in _AT_WORK for task in tasks)
