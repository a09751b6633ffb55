"""Does what was decided, in one fixed order: save, then send, then acknowledge.

Saved first, because a launch that is not recorded would run unattended after a crash; sent before anything is
acknowledged, because an update that is acknowledged is never told again.  A failure to send drops what is left of the
plan: the next snapshot shows what is still wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from headgate.errors import CallRejected, MasterUnavailable, StoreUnavailable
from headgate.model.call import (
    Accept,
    AcceptInverseOffers,
    Acknowledge,
    AcknowledgeOperation,
    Call,
    Decline,
    DeclineInverseOffers,
    Kill,
    Launch,
    OperationToReconcile,
    Reconcile,
    ReconcileOperations,
    Revive,
    SendMessage,
    ShutdownExecutor,
    Suppress,
    TaskToReconcile,
    UpdateFramework,
)
from headgate.model.ids import ExecutorId
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
    Refuse,
    Start,
    Step,
)
from headgate.model.record import Records
from headgate.model.stored import Storable, changes, encoded, flattened
from headgate.ports import Engine, Master, RecordStore
from millstream.contract.wire import encode


class Saver:
    """Writes what has changed since it last did.  One writer; not thread-safe."""

    def __init__(self, store: RecordStore, *, term: int, saved: Records) -> None:
        self._store: Final = store
        self._term: Final = term
        self._saved: dict[str, Storable] = flattened(saved)
        self._uncertain: set[str] = set()

    def save(self, records: Records, *, confirm: bool = False) -> None:
        """Make the store hold exactly these records.  Writes nothing if it does.

        With `confirm` the store is asked even then, so that whoever no longer leads hears of it before it says anything
        to the master.

        Raises:
            StaleLeader: somebody else leads; stop acting at once.
            StoreUnavailable: outcome unknown; the next save settles it.
        """
        after = flattened(records)
        changed = changes(self._saved, after)
        for key in self._uncertain:
            changed.setdefault(key, encoded(key, after[key]) if key in after else None)
        if not changed and not confirm:
            return
        try:
            self._store.write(dict(sorted(changed.items())), term=self._term)
        except StoreUnavailable:
            self._uncertain |= set(changed)
            raise
        self._saved = after
        self._uncertain.clear()


class Sender:
    """Turns steps into calls and sends them."""

    def __init__(self, master: Master, engines: Mapping[str, Engine], bundles_url: str) -> None:
        self._master: Final = master
        self._engines: Final = engines
        self._bundles_url: Final = bundles_url.rstrip("/")

    def perform(
        self,
        steps: Iterable[Step],
        *,
        attempted: Callable[[Step], None],
        performed: Callable[[Step], None],
        refused: Callable[[Step], None],
    ) -> tuple[str, ...]:
        """Send the steps in order, telling of each before and after; problems in words.

        A call that the master refuses is skipped, since it would be refused again; when it cannot be reached, the rest
        is dropped.
        """
        problems = []
        for step in steps:
            attempted(step)
            try:
                for call in self.calls(step):
                    self._master.send(call)
            except CallRejected as refusal:
                problems.append(f"the master refused to {_verb(step)}: {refusal}")
                refused(step)
                continue
            except MasterUnavailable as failure:
                problems.append(f"could not {_verb(step)}, the rest of the plan is dropped: {failure}")
                break
            performed(step)
        return tuple(problems)

    def acknowledge(self, acknowledgements: Iterable[Acknowledge | AcknowledgeOperation]) -> tuple[str, ...]:
        """Acknowledge updates whose effect is saved; what fails is told again by the agent."""
        problems = []
        for each in acknowledgements:
            try:
                self._master.send(each)
            except CallRejected as refusal:
                about = each.task_id if isinstance(each, Acknowledge) else each.operation_id
                problems.append(f"the master refused an acknowledgement for {about}: {refusal}")
            except MasterUnavailable:
                break
        return tuple(problems)

    def calls(self, step: Step) -> tuple[Call, ...]:
        """A step as calls to the master."""
        match step:
            case Announce():
                return (
                    UpdateFramework(
                        framework=step.framework,
                        suppressed_roles=step.suppressed_roles,
                        offer_constraints=step.constraints,
                    ),
                )
            case Flow():
                return (Revive(roles=(step.role,)) if step.wanted else Suppress(roles=(step.role,)),)
            case Ask():
                asked = tuple(TaskToReconcile(task_id=task_id, agent_id=agent_id) for task_id, agent_id in step.tasks)
                return (Reconcile(tasks=asked),)
            case AskOperations():
                named = tuple(
                    OperationToReconcile(operation_id=operation_id, agent_id=agent_id)
                    for operation_id, agent_id in step.operations
                )
                return (ReconcileOperations(operations=named),)
            case End():
                return _end_calls(step)
            case Dismiss():
                return (ShutdownExecutor(executor_id=ExecutorId(step.task_id), agent_id=step.agent_id),)
            case Assign():
                executor = ExecutorId(step.assignment.task_id)
                return (SendMessage(agent_id=step.agent_id, executor_id=executor, data=encode(step.assignment)),)
            case Place():
                launches = tuple(self._launch(step, start) for start in step.starts)
                return (
                    Accept(
                        offer_ids=step.offer_ids,
                        launches=launches,
                        refuse_s=step.refuse_s,
                        reserve=step.reserves,
                        unreserve=step.unreserves,
                    ),
                )
            case Refuse():
                return (Decline(offer_ids=step.offer_ids, refuse_s=step.refuse_s),)
            case Answer(inverse_offer_ids=ids, refuse_s=refuse_s):
                if step.agree:
                    return (AcceptInverseOffers(inverse_offer_ids=ids, refuse_s=refuse_s),)
                return (DeclineInverseOffers(inverse_offer_ids=ids, refuse_s=refuse_s),)

    def _launch(self, place: Place, start: Start) -> Launch:
        sha256 = start.spec.program.sha256
        launch = self._engines[start.spec.engine].launch(
            start.spec,
            start.attempt,
            agent_id=place.agent_id,
            resources=start.resources,
            bundle_url=None if sha256 is None else f"{self._bundles_url}/{sha256}.zip",
        )
        return replace(launch, reservation=start.reservation, revocable=start.revocable)


def _end_calls(step: End) -> tuple[Call, ...]:
    kill = Kill(task_id=step.task_id, agent_id=step.agent_id, grace_s=step.grace_s)
    if step.shutdown and step.agent_id is not None:
        return (kill, ShutdownExecutor(executor_id=ExecutorId(step.task_id), agent_id=step.agent_id))
    return (kill,)


def _verb(step: Step) -> str:
    match step:
        case Announce():
            return "change the framework"
        case Flow():
            return f"{'revive' if step.wanted else 'suppress'} role {step.role}"
        case Ask():
            return "reconcile"
        case AskOperations():
            return "reconcile operations"
        case Answer():
            return f"{'agree' if step.agree else 'object'} to maintenance"
        case End():
            return f"kill {step.task_id}"
        case Dismiss():
            return f"shut down the executor of {step.task_id}"
        case Assign():
            return f"send {step.assignment.task_id} its assignment"
        case Place():
            parts = [
                *(f"free {each.id}" for each in step.unreserves),
                *(f"reserve for {each.id}" for each in step.reserves),
                *(f"launch {start.attempt.task_id}" for start in step.starts),
            ]
            return ", ".join(parts)
        case Refuse():
            return f"decline {len(step.offer_ids)} offers"
