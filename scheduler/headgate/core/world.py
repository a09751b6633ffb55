"""All that the scheduler knows between two ticks: the records, and what is true only while it runs.

Mutable, and owned by the loop alone.  `intake` and `commands` change it, `snapshot` freezes it for a decision, `adopt`
and `performed` take in what was decided and done.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import Final

from headgate.core.ledger import Ledger
from headgate.core.measure import Gauges
from headgate.model.ids import AgentId, JobName, OfferId, OperationId, ShardId, TaskId
from headgate.model.measurements import Heard
from headgate.model.note import Note, NoteKind
from headgate.model.offer import InverseOffer, Offer, Unavailability
from headgate.model.plan import (
    Announce,
    Answer,
    Ask,
    AskOperations,
    Assign,
    Dismiss,
    End,
    Flow,
    Place,
    Plan,
    Refuse,
    Step,
)
from headgate.model.record import Records
from headgate.model.settings import Settings
from headgate.model.snapshot import AgentSeen, Announced, Leaving, Link, RoleFlow, Sent, Snapshot
from headgate.model.view import MasterView
from headgate.model.waiting import InverseAnswer, OfferFate
from millstream.contract.report import ShardReport

EVENTS_MAX: Final = 500
"""Notes kept for the view."""


class World:
    """What is known.  Instants are those of the loop's clock."""

    def __init__(self, settings: Settings, records: Records, now: float) -> None:
        self.settings = settings
        self.ledger = Ledger(records)
        self.awake_since = now
        self.link = Link()
        self.master = MasterView()
        self.offers: dict[OfferId, Offer] = {}
        self.doubtful: set[OfferId] = set()
        self.agents: dict[AgentId, AgentSeen] = {}
        self.fates: dict[AgentId, OfferFate] = {}
        self.heard: dict[TaskId, Heard] = {}
        self.gauges: dict[JobName, Gauges] = {}
        self.last_reports: dict[tuple[JobName, int], dict[ShardId, tuple[ShardReport, float]]] = {}
        self.flows: dict[str, RoleFlow] = {}
        self.strays: dict[TaskId, AgentId | None] = {}
        self.leaving: dict[TaskId, Leaving] = {}
        self.exited: set[TaskId] = set()
        self.announced: Announced | None = None
        self.inverse_offers: dict[OfferId, InverseOffer] = {}
        self.windows: dict[AgentId, Unavailability] = {}
        self.answers: dict[AgentId, InverseAnswer] = {}
        self.absent: set[AgentId] = set()
        self.unanswered: set[TaskId] = set()
        self.counted: Counter[str] = Counter()
        self.events: deque[Note] = deque(maxlen=EVENTS_MAX)
        self._news: list[Note] = []
        for job in sorted(records.jobs.values(), key=lambda job: job.submission):
            self.events.extend(job.history)
        self._assignments: dict[TaskId, tuple[int, float]] = {}
        self._kills: dict[TaskId, float] = {}
        self._asked: dict[TaskId, float] = {}
        self.probed: dict[AgentId, float] = {}
        self.asked_operations: dict[OperationId, tuple[int, float]] = {}

    def snapshot(self, now: float) -> Snapshot:
        """The world, frozen."""
        records = self.ledger.frozen()
        loads = {
            name: self.gauges[name].loads(
                ((shard.id, shard.owner) for shard in shards),
                self.settings.measuring.over(records.jobs[name].spec.scaling.window_s),
            )
            for name, shards in records.shards.items()
            if name in self.gauges and name in records.jobs
        }
        return Snapshot(
            now=now,
            settings=self.settings,
            awake_since=self.awake_since,
            records=records,
            link=replace(self.link, unanswered=tuple(sorted(self.unanswered))),
            offers=dict(self.offers),
            doubtful=frozenset(self.doubtful),
            agents=dict(self.agents),
            heard=dict(self.heard),
            loads=loads,
            read={name: dict(gauges.read) for name, gauges in self.gauges.items()},
            flows=dict(self.flows),
            sent=Sent(
                assignments=dict(self._assignments),
                kills=dict(self._kills),
                asked=dict(self._asked),
                probes=dict(self.probed),
                operations=dict(self.asked_operations),
            ),
            strays=dict(self.strays),
            leaving=dict(self.leaving),
            announced=self.announced,
            inverse_offers=dict(self.inverse_offers),
            windows=dict(self.windows),
            absent=frozenset(self.absent),
        )

    def adopt(self, plan: Plan, now: float) -> None:
        """The plan's records, which are saved, are the records now."""
        self.ledger = Ledger(plan.records)
        self.strays = dict(plan.strays)
        for role, flow in self.flows.items():
            self.flows[role] = replace(flow, wanted=flow.wanted & plan.needs.get(role, frozenset()))
        self.publish(plan.notes)
        self._forget(now)

    def publish(self, notes: tuple[Note, ...] | list[Note]) -> None:
        """Keep notes for the view, and count them."""
        self.events.extend(notes)
        self._news.extend(notes)
        self.counted.update(f"note {note.kind.value}" for note in notes)

    def take_news(self) -> list[Note]:
        """The notes published since the last time it was asked."""
        news, self._news = self._news, []
        return news

    def publish_written(self) -> None:
        """Keep the notes that intake has written since the last time."""
        self.publish(self.ledger.notes)
        self.ledger.notes.clear()

    def say(self, at: float, kind: NoteKind, text: str, job: JobName | None = None) -> None:
        """Write a note of the scheduler's own."""
        self.ledger.say(at, kind, text, job)

    def attempted(self, step: Step, now: float) -> None:
        """The step is about to be sent: until it is known how that went, its offers are not to be used again."""
        if isinstance(step, Announce):
            self.announced = replace(self.told, tried_at=now, sure=False)
        if isinstance(step, Place | Refuse):
            self.doubtful.update(offer_id for offer_id in step.offer_ids if offer_id in self.offers)

    def _used(self, step: Place | Refuse, fate: OfferFate | None = None) -> None:
        for offer_id in step.offer_ids:
            offer = self.offers.pop(offer_id, None)
            self.doubtful.discard(offer_id)
            if offer is not None and fate is not None:
                self.fates[offer.agent_id] = fate

    def refused(self, step: Step, now: float) -> None:
        """The master answered the step with a refusal, as it would again: what is repeated waits for its time."""
        match step:
            case Refuse():
                self._used(step)
            case Announce():
                self.announced = replace(self.told, refusals=self.told.refusals + 1, sure=True)
                if step.constraints:
                    self.link = replace(self.link, constrains=False)
            case Answer():
                self._answered(step)
            case End():
                self._kills[step.task_id] = now
            case Dismiss():
                self.leaving.pop(step.task_id, None)
            case Flow() | AskOperations() | Assign():
                self.performed(step, now)
            case Ask() if not step.gate:
                self._performed_ask(step, now)
            case _:
                pass

    @property
    def told(self) -> Announced:
        """What the master last heard of us."""
        framework = self.settings.framework
        return self.announced or Announced(
            roles=tuple(sorted(framework.roles)), capabilities=tuple(sorted(framework.capabilities))
        )

    def _answered(self, step: Answer) -> list[AgentId]:
        """Whose inverse offers these were."""
        found = [self.inverse_offers.pop(offer_id, None) for offer_id in step.inverse_offer_ids]
        return sorted({inverse.agent_id for inverse in found if inverse is not None})

    def _performed_answer(self, step: Answer, now: float) -> None:
        """Say so, once for each agent and answer: what is declined is asked and answered again and again."""
        self.counted[f"inverse {'accepted' if step.agree else 'declined'}"] += len(step.inverse_offer_ids)
        news = []
        for agent_id in self._answered(step):
            before = self.answers.get(agent_id)
            if before is None or (before.agree, before.reason) != (step.agree, step.reason):
                news.append(self.agents[agent_id].hostname if agent_id in self.agents else str(agent_id))
            self.answers[agent_id] = InverseAnswer(at=now, agree=step.agree, reason=step.reason)
        if news:
            verb = "agreed" if step.agree else "not agreed"
            self.say(now, NoteKind.MAINTENANCE, f"{verb} to give back {', '.join(news)}: {step.reason}")

    def performed(self, step: Step, now: float) -> None:
        """The step was sent."""
        match step:
            case Announce():
                self.announced = Announced(
                    roles=step.framework.roles,
                    capabilities=step.framework.capabilities,
                    constraints=step.constraints,
                    tried_at=now,
                )
            case Flow():
                flow = self.flows.get(step.role, RoleFlow())
                self.flows[step.role] = replace(flow, suppressed=not step.wanted, changed_at=now, wanted=step.wanted)
            case Ask():
                self._performed_ask(step, now)
            case AskOperations():
                for operation_id, _ in step.operations:
                    count, _ = self.asked_operations.get(operation_id, (0, 0.0))
                    self.asked_operations[operation_id] = (count + 1, now)
            case Answer():
                self._performed_answer(step, now)
            case End():
                self._kills[step.task_id] = now
                if step.task_id in self.strays:
                    self.counted["strays killed"] += 1
            case Dismiss():
                self._performed_dismissal(step, now)
            case Assign():
                self._assignments[TaskId(step.assignment.task_id)] = (step.assignment.version, now)
            case Place():
                tasks = tuple(start.attempt.task_id for start in step.starts)
                self._used(step, OfferFate(at=now, reason=step.reason, tasks=tasks))
                self.counted["accepted"] += len(step.offer_ids)
                seen = self.agents.get(step.agent_id)
                if seen is not None:
                    self.agents[step.agent_id] = replace(seen, offered=step.left, at=now)
            case Refuse():
                self._used(step, OfferFate(at=now, reason=step.reason, refuse_s=step.refuse_s))
                self.counted["declined"] += len(step.offer_ids)

    def _performed_ask(self, step: Ask, now: float) -> None:
        if not step.tasks:
            self.link = replace(self.link, reconciled_all_at=now)
        elif step.probe:
            self.probed.update((agent_id, now) for _, agent_id in step.tasks if agent_id is not None)
        elif step.gate:
            self.link = replace(self.link, asked=self.link.asked + 1, asked_at=now)
        else:
            self._asked.update((task_id, now) for task_id, _ in step.tasks)

    def _performed_dismissal(self, step: Dismiss, now: float) -> None:
        """Told again once, since the call may be lost; whoever is still there then is seen with its agent's offers."""
        leaving = self.leaving.pop(step.task_id, None)
        if leaving is not None and leaving.shutdowns == 0:
            self.counted["executors shut down"] += 1
            self.say(now, NoteKind.PROBLEM, f"the executor of {step.task_id} is shut down: {step.reason}")
            self.leaving[step.task_id] = replace(leaving, shutdowns=1, told_at=now)

    def _forget(self, now: float) -> None:
        """Drop what is known of tasks, jobs and agents that are no more."""
        tasks = self.ledger.tasks
        for known in (self.heard, self._assignments, self._asked):
            for task_id in [task_id for task_id in known if task_id not in tasks]:
                del known[task_id]
        for task_id in [each for each in self._kills if each not in tasks and each not in self.strays]:
            del self._kills[task_id]
        self.unanswered &= tasks.keys()
        self.exited &= tasks.keys()
        for operation_id in self.asked_operations.keys() - self.ledger.operations.keys():
            del self.asked_operations[operation_id]
        holding = {each.agent_id for each in self.ledger.reservations.values()}
        for agent_id in self.probed.keys() - holding:
            del self.probed[agent_id]
        self.absent &= holding
        # The master tells of agents that are removed only to who is connected.
        long_ago = now - self.settings.patience.agent_forget_s
        busy = {task.agent_id for task in tasks.values()} | {offer.agent_id for offer in self.offers.values()}
        for agent_id in [seen.agent_id for seen in self.agents.values() if seen.at < long_ago]:
            if agent_id not in busy:
                del self.agents[agent_id]
        for agent_id in [agent_id for agent_id in self.fates if agent_id not in self.agents]:
            del self.fates[agent_id]
        for agent_id in self.answers.keys() - self.windows.keys():
            del self.answers[agent_id]
        jobs = self.ledger.jobs
        for name in [name for name in self.gauges if name not in jobs or jobs[name].state.over]:
            del self.gauges[name]
        submissions = {(job.name, job.submission) for job in jobs.values()}
        for each in self.last_reports.keys() - submissions:
            del self.last_reports[each]
