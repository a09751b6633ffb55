"""Events of the master → the world: every event through its table, nothing sent.

Returns what is to be acknowledged once the effect is saved.  Events may come late, twice and in any order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from headgate.core.attempts import happen
from headgate.core.causes import Cause, cause_of
from headgate.core.hear import hear
from headgate.core.identity import refusal, take_identity
from headgate.core.ledger import Ledger, shortened
from headgate.core.operations import agent_gone, hear_operation
from headgate.core.presence import find_presence
from headgate.core.task_machine import Effect, TaskEvent, move
from headgate.core.world import World
from headgate.model.call import Acknowledge, AcknowledgeOperation
from headgate.model.event import (
    AgentLost,
    Disconnected,
    ExecutorEnded,
    Heartbeat,
    InverseOffers,
    MasterEvent,
    Message,
    Offers,
    OperationUpdate,
    Refused,
    Rescinded,
    Subscribed,
    Undecodable,
    Update,
)
from headgate.model.ids import AgentId, TaskId, find_attempt
from headgate.model.note import NoteKind
from headgate.model.offer import InverseOffer, Offer
from headgate.model.resources import Resources
from headgate.model.snapshot import AgentSeen, Leaving, Link, RoleFlow
from headgate.model.status import TaskState, TaskStatus
from headgate.model.task import Stage
from headgate.model.view import MasterView


def take_in(world: World, event: MasterEvent, now: float) -> Acknowledge | AcknowledgeOperation | None:
    """Let one event change the world; what to acknowledge for it, once that is saved.

    Raises:
        FrameworkRefused: the master will not have us as who we are; nothing can go on.
    """
    if world.link.connected:
        world.link = replace(world.link, heard_at=now)
    match event:
        case Subscribed():
            _subscribed(world, event, now)
        case Disconnected():
            _disconnected(world, event.reason, now)
        case Offers():
            _all_offered(world, event.offers, now)
        case Rescinded():
            world.doubtful.discard(event.offer_id)
            inverse = world.inverse_offers.pop(event.offer_id, None)
            if inverse is not None:
                # The schedule has changed, or the agent is gone: whoever still wants it back asks again.
                world.windows.pop(inverse.agent_id, None)
            if world.offers.pop(event.offer_id, None) is not None:
                world.counted["rescinded"] += 1
        case Update():
            return _updated(world, event.status, now)
        case Message():
            _message(world, event, now)
        case AgentLost():
            _agent_lost(world, event.agent_id)
        case Refused():
            raise refusal(event.message, world.ledger.framework.framework_id, len(world.ledger.tasks))
        case Undecodable():
            world.say(now, NoteKind.PROBLEM, f"an event of the master cannot be read: {event.problem}")
        case OperationUpdate():
            return hear_operation(world.ledger, event.status, world.settings.patience.operation_ask_s, now)
        case InverseOffers():
            for inverse in event.inverse_offers:
                _asked_back(world, inverse)
        case ExecutorEnded(executor_id=executor_id):
            _executor_ended(world, TaskId(executor_id))
        case Heartbeat():
            pass  # It has said all by being there.
    return None


def _subscribed(world: World, event: Subscribed, now: float) -> None:
    ledger = world.ledger
    on_trial = ledger.framework.framework_id is None and world.settings.framework.trial_s is not None
    advice = take_identity(ledger, event.framework_id, world.settings.framework)
    _forget_connection(world)
    if on_trial:
        world.announced = replace(world.told, lasting=False)
    world.link = Link(
        connected=True,
        since=now,
        region=event.master_domain_region,
        constrains=heeds_constraints(event.master_version),
    )
    world.unanswered = set(ledger.tasks)
    world.master = MasterView(
        connected=True,
        framework_id=event.framework_id,
        master=event.master,
        version=event.master_version,
        since=now,
    )
    world.say(now, NoteKind.CONNECTED, f"subscribed at {event.master} as {event.framework_id}")
    if advice is not None:
        world.say(now, NoteKind.PROBLEM, advice)


def _agent_lost(world: World, agent_id: AgentId) -> None:
    """A hint, and all that is said of agents that never came back to a new master: ask what became of their tasks."""
    world.agents.pop(agent_id, None)
    tasks = world.ledger.tasks.values()
    world.unanswered |= {task.id for task in tasks if task.agent_id == agent_id and task.stage is not Stage.UNREACHABLE}


def _executor_ended(world: World, task_id: TaskId) -> None:
    """What became of its task the updates say, which may come before or after."""
    world.leaving.pop(task_id, None)
    if task_id in world.ledger.tasks:
        world.exited.add(task_id)


def _disconnected(world: World, reason: str, now: float) -> None:
    _forget_connection(world)
    world.link = Link()
    world.master = MasterView(framework_id=world.ledger.framework.framework_id, since=now, problem=reason)
    world.say(now, NoteKind.DISCONNECTED, f"no connection to a master: {reason}")


def _forget_connection(world: World) -> None:
    """Offers are void, and suppression and filters as well.

    What was announced is not: the driver says it again when it subscribes.
    """
    world.offers.clear()
    world.doubtful.clear()
    world.flows.clear()
    world.unanswered = set()
    world.inverse_offers.clear()
    world.windows.clear()
    world.asked_operations.clear()
    world.probed.clear()
    world.absent.clear()


def heeds_constraints(version: str | None) -> bool:
    """Whether a master of this version knows offer constraints: from 1.11 on."""
    found = re.match(r"(\d+)\.(\d+)", version or "")
    return found is not None and (int(found[1]), int(found[2])) >= (1, 11)


def _asked_back(world: World, inverse: InverseOffer) -> None:
    world.inverse_offers[inverse.id] = inverse
    world.windows[inverse.agent_id] = inverse.unavailability
    seen = world.agents.get(inverse.agent_id)
    if seen is not None:
        world.agents[inverse.agent_id] = replace(seen, unavailability=inverse.unavailability)


def _all_offered(world: World, offers: Sequence[Offer], now: float) -> None:
    """Once over all that is in hand, however many offers have come at once."""
    world.offers.update((offer.id, offer) for offer in offers)
    free: dict[tuple[AgentId, str], Resources] = {}
    touched = {(offer.agent_id, offer.role) for offer in offers}
    for offer in world.offers.values():
        at = (offer.agent_id, offer.role)
        if at in touched:
            free[at] = free[at] + offer.resources if at in free else offer.resources
    for offer in offers:
        _offered(world, offer, free[offer.agent_id, offer.role], now)


def _offered(world: World, offer: Offer, offered: Resources, now: float) -> None:
    for task_id in map(TaskId, offer.executor_ids):
        if task_id not in world.ledger.tasks and task_id not in world.strays:
            # Its task ended while another scheduler led, say.
            world.leaving.setdefault(task_id, Leaving(agent_id=offer.agent_id, since=now))
    world.absent.discard(offer.agent_id)
    if offer.unavailability is None:
        world.windows.pop(offer.agent_id, None)
    else:
        world.windows[offer.agent_id] = offer.unavailability
    world.counted["received"] += 1
    before = world.agents.get(offer.agent_id)
    world.agents[offer.agent_id] = AgentSeen(
        agent_id=offer.agent_id,
        hostname=offer.hostname,
        role=offer.role,
        offered=offered,
        at=now,
        attributes=offer.attributes,
        domain=offer.domain,
        unavailability=offer.unavailability,
        has_gpus=offered.gpus_m > 0 or (before is not None and before.has_gpus),
        most=offered.most(before.most) if before is not None else offered,
    )
    # An offer for a role proves that it is not suppressed, whatever we asked for.
    world.flows[offer.role] = replace(world.flows.get(offer.role, RoleFlow()), suppressed=False, offered_at=now)


def _updated(world: World, status: TaskStatus, now: float) -> Acknowledge | None:
    world.unanswered.discard(status.task_id)
    _last_word(world, status, now)
    cause = cause_of(status)
    if cause is None:
        world.say(now, NoteKind.PROBLEM, f"{status.task_id}: {status_text(status)}; it is left as it is")
    else:
        _task_event(world, status.task_id, status.agent_id, cause, status_text(status), now)
    match find_presence(status):
        case agent_id, True:
            world.absent.discard(agent_id)
        case agent_id, False:
            world.absent.add(agent_id)
    if status.state is TaskState.GONE_BY_OPERATOR and status.agent_id is not None:
        agent_gone(world.ledger, status.agent_id, now)
    if not status.uuid or status.agent_id is None:
        return None
    return Acknowledge(agent_id=status.agent_id, task_id=status.task_id, uuid=status.uuid)


def _last_word(world: World, status: TaskStatus, now: float) -> None:
    """An executor that says that its task, the only one it has, is over, is to end next."""
    known = status.task_id in world.ledger.tasks or status.task_id in world.strays
    by_itself = status.state.terminal and status.source == "EXECUTOR"
    if known and by_itself and status.agent_id is not None and status.task_id not in world.exited:
        world.leaving[status.task_id] = Leaving(agent_id=status.agent_id, since=now)


def _task_event(world: World, task_id: TaskId, agent_id: AgentId | None, cause: Cause, text: str, now: float) -> None:
    task = world.ledger.tasks.get(task_id)
    if task is not None:
        effects = happen(world.ledger, task, cause.event, now, text, cause.blame)
    else:
        effects = move(Stage.ENDED, cause.event).effects
    if Effect.STRAY in effects:
        world.strays[task_id] = agent_id
        _never_again(world.ledger, task_id)
    if Effect.CLEAR in effects:
        world.strays.pop(task_id, None)


def _never_again(ledger: Ledger, task_id: TaskId) -> None:
    """Move the counters past an id that is out there and not in our records (restored from a backup, say)."""
    attempt = find_attempt(task_id)
    if attempt is None:
        return
    if attempt.submission > ledger.framework.submissions:
        ledger.framework = replace(ledger.framework, submissions=attempt.submission)
    job = ledger.jobs.get(attempt.job)
    slot = ledger.worker(attempt.job, attempt.worker)
    if job is not None and job.submission == attempt.submission and slot.attempts <= attempt.attempt:
        ledger.put_worker(replace(slot, attempts=attempt.attempt + 1))


def status_text(status: TaskStatus) -> str:
    """A status in words: state, reason, message."""
    text = status.state.value
    if status.reason:
        text += f", {status.reason}"
    if status.message:
        text += f": {status.message}"
    return shortened(text)


def _message(world: World, event: Message, now: float) -> None:
    task_id = TaskId(event.executor_id)
    task = world.ledger.tasks.get(task_id)
    if task is None:
        _task_event(world, task_id, event.agent_id, Cause(event=TaskEvent.REPORTED), "reports", now)
        return
    problem = hear(world, task, event.data, now)
    if problem is not None and not any(note.text == problem for note in world.ledger.jobs[task.job].history):
        world.say(now, NoteKind.PROBLEM, problem, task.job)
