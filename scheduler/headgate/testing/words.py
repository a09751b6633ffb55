"""Calls and events as short lines, for the trace."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.model.call import (
    Accept,
    Acknowledge,
    Call,
    Decline,
    Kill,
    Reconcile,
    Revive,
    SendMessage,
    ShutdownExecutor,
    Suppress,
    UpdateFramework,
)
from headgate.model.event import (
    AgentLost,
    Disconnected,
    ExecutorEnded,
    MasterEvent,
    Message,
    Offers,
    Refused,
    Rescinded,
    Subscribed,
    Update,
)
from millstream.contract.assignment import Assignment
from millstream.contract.report import Report
from millstream.contract.wire import decode


def short(identifier: str | None) -> str:
    """An id of the master's making without the part that is the same in all of them."""
    return "-" if identifier is None else identifier.rpartition("-")[2]


def call_text(call: Call) -> str:
    """A call to the master."""
    match call:
        case Accept():
            parts = [
                *(f"unreserve {each.id}" for each in call.unreserve),
                *(f"reserve {each.id}" for each in call.reserve),
                *(f"{launch.task_id} on {short(launch.agent_id)}" for launch in call.launches),
            ]
            return f"ACCEPT {_ids(call.offer_ids)} for {', '.join(parts)}"
        case Decline():
            return f"DECLINE {_ids(call.offer_ids)} for {call.refuse_s:g} s"
        case Suppress() | Revive():
            return f"{type(call).__name__.upper()} {', '.join(call.roles)}"
        case Kill():
            return f"KILL {call.task_id} on {short(call.agent_id)}"
        case ShutdownExecutor():
            return f"SHUTDOWN {call.executor_id} on {short(call.agent_id)}"
        case Acknowledge():
            return f"ACKNOWLEDGE {call.task_id} {call.uuid[:6]}"
        case Reconcile():
            return f"RECONCILE {', '.join(f'{each.task_id} on {short(each.agent_id)}' for each in call.tasks) or 'all'}"
        case SendMessage():
            told = decode(call.data, Assignment)
            shards = " ".join(f"{each.shard}@{each.epoch}" for each in told.shards)
            return f"MESSAGE {told.task_id}: version {told.version} {'drain' if told.drain else shards}"
        case UpdateFramework():
            return f"UPDATE_FRAMEWORK {', '.join(call.framework.roles)}; suppressed {', '.join(call.suppressed_roles)}"
        case _:
            return repr(call)


def event_text(event: MasterEvent) -> str:
    """An event of the master."""
    match event:
        case Subscribed():
            return f"SUBSCRIBED as {short(event.framework_id)}"
        case Disconnected() | Refused():
            return str(event)
        case Offers():
            offers = (f"{short(each.id)} of {short(each.agent_id)}" for each in event.offers)
            return f"OFFERS {', '.join(offers)}"
        case Rescinded():
            return f"RESCIND {short(event.offer_id)}"
        case Update():
            status = event.status
            again = status.uuid[:6] if status.uuid else "unconfirmed"
            why = " ".join(part for part in (status.reason, status.message) if part)
            return f"UPDATE {status.task_id} {status.state.value} on {short(status.agent_id)} {again} {why}"
        case Message():
            told = decode(event.data, Report)
            shards = " ".join(f"{each.shard}@{each.epoch} {each.state.value}" for each in told.owned)
            return f"MESSAGE {told.task_id}: report {told.sequence}, version {told.assignment_version} {shards}"
        case AgentLost():
            return f"FAILURE {short(event.agent_id)}"
        case ExecutorEnded():
            return f"FAILURE {event.executor_id} on {short(event.agent_id)}"
        case _:
            return repr(event)


def _ids(ids: Iterable[str]) -> str:
    return " ".join(short(each) for each in ids)
