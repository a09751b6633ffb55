"""One mailbox, one tick: the scheduler.

Events, commands and the passing of time meet here and nowhere else.  A tick drains the mailbox, lets each item change
the records, saves what changed, acknowledges, decides, saves the decision, sends it, and publishes a view.  Nothing
happens in a callback, so a tick at a given instant is all there is: real time and virtual time drive the same one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Final

from headgate.apply import Saver, Sender
from headgate.core.commands import carry_out
from headgate.core.decide import decide
from headgate.core.identity import without_framework
from headgate.core.inquiry import agent_explanation, dry_run
from headgate.core.intake import take_in
from headgate.core.show import Told, show
from headgate.core.world import World
from headgate.errors import BadJob, HeadgateError, StaleLeader, StoreUnavailable, UnknownJob
from headgate.mailbox import Mailbox
from headgate.model.call import Acknowledge, AcknowledgeOperation
from headgate.model.command import Cancel, Command, Pause, Receipt, Restart, Resume, Scale, Submit
from headgate.model.event import MasterEvent
from headgate.model.ids import AgentId, FrameworkId, JobName
from headgate.model.job import JobSpec
from headgate.model.note import Note, NoteKind
from headgate.model.plan import Plan
from headgate.model.settings import Settings
from headgate.model.snapshot import Snapshot
from headgate.model.stored import loaded
from headgate.model.view import View
from headgate.model.waiting import AgentExplanation, DryRun, InverseAnswer, OfferFate
from headgate.ports import Clock, Engine, Master, RecordStore
from headgate.steady_time import SteadyTime

RETRY_S: Final = 1.0
"""After the store did not answer."""
LOOK_AGAIN_S: Final = 1.0
"""After anything was sent, or could not be: a plan does not know when what it does itself will be due again."""
GATHER_S: Final = 0.02
"""Between two ticks of `run`, so that what comes together is decided together."""
IDLE_S: Final = 2.0
"""The longest `run` waits: a view is never older than the reports of a job that is well."""
BREAK_S: Final = 5.0
"""A tick that is later than this means that we were not listening, and silence before it proves nothing."""


log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # thousands of simulated schedulers keep no log, and are not to write on stderr

_TOLD_BY_DRIVER: Final = frozenset({NoteKind.CONNECTED, NoteKind.DISCONNECTED})
_WARNINGS: Final = frozenset({NoteKind.FAILED, NoteKind.LOST, NoteKind.PROBLEM})


class _Asked:
    """A command and the promise of its receipt."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.receipt: Future[Receipt] = Future()


class Scheduler:
    """The loop's state.  `deliver`, the commands and `view` may be called from any thread, `tick` and `run` from one.

    Making one takes the lead of the store (a new term) and loads its records.

    Raises:
        StoreUnavailable: the store does not answer.
        StoreDamaged: it holds a record that this build cannot read.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        master: Master,
        store: RecordStore,
        engines: Mapping[str, Engine],
        settings: Settings,
    ) -> None:
        self._clock: Final = clock
        self._engines: Final = engines
        self._mailbox: Final = Mailbox[MasterEvent | _Asked]()
        term = store.new_term()
        records = loaded(store.load(""))
        now = clock.now()
        self._saver: Final = Saver(store, term=term, saved=records)
        self._sender: Final = Sender(master, engines, settings.bundles_url)
        self._world: Final = World(settings, without_framework(records, settings.forget_framework), now)
        self._acknowledgements: list[Acknowledge | AcknowledgeOperation] = []
        self._receipts: list[tuple[_Asked, Receipt]] = []
        self._ticks = 0
        self._last_tick_at = now
        self._wake_at: float | None = None
        self._view = View(at=now)
        self._seen: tuple[Snapshot, Plan, Mapping[AgentId, OfferFate], Mapping[AgentId, InverseAnswer]] | None = None
        self._show(now)

    @property
    def framework_id(self) -> FrameworkId | None:
        """Who we are to Mesos, from the store; None: nobody yet.  The driver subscribes with it."""
        return self._world.ledger.framework.framework_id

    @property
    def view(self) -> View:
        """As of the last tick."""
        return self._view

    def explain_agent(self, agent_id: AgentId) -> AgentExplanation | None:
        """What became of an agent's last offers, and what jobs that wait lack there; None: no such agent is known.

        From any thread.
        """
        if self._seen is None:
            return None
        snapshot, plan, fates, answers = self._seen
        return agent_explanation(agent_id, snapshot, plan, fates.get(agent_id), answers.get(agent_id))

    def dry_run(self, spec: JobSpec) -> DryRun | None:
        """What would become of a job if it were submitted now; None: nothing is known yet.  From any thread."""
        return None if self._seen is None else dry_run(spec, *self._seen[:2])

    def deliver(self, event: MasterEvent) -> None:
        """Take an event of the master; it is dealt with in the next tick."""
        self._mailbox.put(event)

    def submit(self, spec: JobSpec) -> Future[Receipt]:
        """Run a job.  The receipt comes when it is saved, and in the view; BadJob if it is refused."""
        return self.ask(Submit(spec=spec))

    def scale(self, job: JobName, workers: int | None) -> Future[Receipt]:
        """Have so many workers; None: as the policy sees fit.  BadJob, UnknownJob."""
        return self.ask(Scale(job=job, workers=workers))

    def cancel(self, job: JobName) -> Future[Receipt]:
        """Stop a job.  UnknownJob."""
        return self.ask(Cancel(job=job))

    def pause(self, job: JobName) -> Future[Receipt]:
        """Let a job rest: its workers checkpoint and go.  UnknownJob."""
        return self.ask(Pause(job=job))

    def resume(self, job: JobName) -> Future[Receipt]:
        """Let a job that rests go on.  UnknownJob."""
        return self.ask(Resume(job=job))

    def restart(self, job: JobName) -> Future[Receipt]:
        """Replace a job's workers a few at a time.  BadJob while it rests, UnknownJob."""
        return self.ask(Restart(job=job))

    def ask(self, command: Command) -> Future[Receipt]:
        """Have a command carried out; the receipt comes when it is saved, or why it was refused."""
        asked = _Asked(command)
        self._mailbox.put(asked)
        return asked.receipt

    def abandon(self, problem: HeadgateError) -> None:
        """Tell whoever still waits for a receipt that there will be none.  After the last `tick`."""
        receipts, self._receipts = self._receipts, []
        for asked, _ in receipts:
            asked.receipt.set_exception(problem)
        for item in self._mailbox.drain():
            if isinstance(item, _Asked) and item.receipt.set_running_or_notify_cancel():
                item.receipt.set_exception(problem)

    def run(self, stop: threading.Event) -> None:
        """Tick whenever something has come or is due, until `stop` is set (and `wake` called).

        Raises:
            StaleLeader, FrameworkRefused: see `tick`.
        """
        time = SteadyTime(self._clock)
        while not stop.is_set():
            wake_at = self.tick(time.now())
            wait_s = IDLE_S if wake_at is None else min(IDLE_S, wake_at - time.now())
            if self._mailbox.wait(max(0.0, wait_s)):
                stop.wait(GATHER_S)

    def wake(self) -> None:
        """Make `run` look up: at `stop`, or for a new view."""
        self._mailbox.poke()

    def tick(self, now: float) -> float | None:
        """Deal with everything that has come, and with what is due at `now`; when to tick again if nothing comes.

        `now` that lies before the last tick's counts as that.

        Raises:
            StaleLeader: another scheduler leads; nothing may be done any more.
            FrameworkRefused: the master will not have us; nothing can be done any more.
        """
        now = self._begin(now)
        self._wake_at = self._tick(now)
        return self._wake_at

    def foresee(self, now: float) -> Plan:
        """What a tick at `now` would decide if nothing had come since the last.  Changes nothing; not thread-safe."""
        return decide(self._world.snapshot(max(now, self._last_tick_at)))

    def _tick(self, now: float) -> float | None:
        items = deque(self._mailbox.drain())
        try:
            while items:
                self._deal_with(items.popleft(), now)
        finally:
            # Where the master will not have us, who still waits for a receipt is to be found by `abandon`.
            for item in items:
                self._mailbox.put(item)
        self._world.publish_written()
        if not self._settle(now):
            self._show(now)
            return now + RETRY_S
        try:
            snapshot = self._world.snapshot(now)
            plan = decide(snapshot)
            wake_at = self._carry_out(plan, now)
            self._publish(snapshot, plan)
        finally:
            self._answer()
        return wake_at

    def _begin(self, now: float) -> float:
        now = max(now, self._last_tick_at)
        if self._wake_at is not None and now - max(self._last_tick_at, self._wake_at) > BREAK_S:
            self._world.awake_since = now
        self._last_tick_at = now
        self._ticks += 1
        return now

    def _deal_with(self, item: MasterEvent | _Asked, now: float) -> None:
        if not isinstance(item, _Asked):
            acknowledgement = take_in(self._world, item, now)
            if acknowledgement is not None:
                self._acknowledgements.append(acknowledgement)
            return
        if not item.receipt.set_running_or_notify_cancel():
            return
        checks = {name: engine.mistakes for name, engine in self._engines.items()}
        try:
            receipt = carry_out(self._world.ledger, item.command, checks, now)
        except (BadJob, UnknownJob) as refusal:
            item.receipt.set_exception(refusal)
        else:
            self._receipts.append((item, receipt))

    def _settle(self, now: float) -> bool:
        """Save what the events and commands changed; then, and only then, acknowledge."""
        try:
            if not self._save(now):
                return False
        except StaleLeader as stale:
            receipts, self._receipts = self._receipts, []
            for asked, _ in receipts:
                asked.receipt.set_exception(stale)
            raise
        acknowledgements, self._acknowledgements = self._acknowledgements, []
        self._complain(self._sender.acknowledge(acknowledgements), now)
        return True

    def _answer(self) -> None:
        """Hand out the receipts of commands that are saved; whoever has one finds its effect in the view."""
        receipts, self._receipts = self._receipts, []
        for asked, receipt in receipts:
            asked.receipt.set_result(receipt)

    def _save(self, now: float, plan: Plan | None = None) -> bool:
        try:
            if plan:
                self._saver.save(plan.records, confirm=bool(plan.steps))
            else:
                self._saver.save(self._world.ledger.frozen(), confirm=bool(self._acknowledgements))
        except StoreUnavailable as failure:
            self._complain((f"the store does not answer, nothing is done: {failure}",), now)
            return False
        return True

    def _carry_out(self, plan: Plan, now: float) -> float | None:
        if not self._save(now, plan):
            return now + RETRY_S
        self._world.adopt(plan, now)
        problems = self._sender.perform(
            plan.steps,
            attempted=lambda step: self._world.attempted(step, now),
            performed=lambda step: self._world.performed(step, now),
            refused=lambda step: self._world.refused(step, now),
        )
        self._complain(problems, now)
        if not plan.steps:
            return plan.wake_at
        again_at = now + LOOK_AGAIN_S
        return again_at if plan.wake_at is None else min(plan.wake_at, again_at)

    def _complain(self, problems: tuple[str, ...], now: float) -> None:
        for problem in problems:
            self._world.say(now, NoteKind.PROBLEM, problem)
        self._world.publish_written()

    def _show(self, now: float) -> None:
        """A view without a decision: before the first, or while the store is away."""
        snapshot = self._world.snapshot(now)
        self._publish(snapshot, Plan(records=snapshot.records, strays=snapshot.strays))

    def _publish(self, snapshot: Snapshot, plan: Plan) -> None:
        _log_all(self._world.take_news())
        fates, answers = dict(self._world.fates), dict(self._world.answers)
        self._seen = (snapshot, plan, fates, answers)
        self._view = show(
            snapshot,
            plan,
            Told(
                ticks=self._ticks,
                master=self._world.master,
                last_reports=self._world.last_reports,
                counted=self._world.counted,
                fates=fates,
                answers=answers,
                events=tuple(self._world.events),
            ),
        )


def _log_all(notes: Iterable[Note]) -> None:
    """What has happened, and what was decided, for who reads the log of the scheduler and not its jobs' histories."""
    for note in notes:
        if note.kind not in _TOLD_BY_DRIVER:
            level = logging.WARNING if note.kind in _WARNINGS else logging.INFO
            log.log(level, "%s%s", f"{note.job}: " if note.job else "", note.text)
