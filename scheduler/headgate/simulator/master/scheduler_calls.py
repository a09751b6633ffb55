"""`POST /api/v1/scheduler`: who may call, and the dispatch.  Rows 13 to 21 of the notes' A.2."""

from __future__ import annotations

from collections.abc import Callable

from headgate.simulator.master import reconciling
from headgate.simulator.master.accepting import Accepting
from headgate.simulator.master.draining import Draining
from headgate.simulator.master.frameworks import Frameworks
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.operations import Operations
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.master.tasks import Tasks
from headgate.simulator.messages import FrameworkMessage, Json, Reply, ShutdownExecutor, Stream
from headgate.simulator.resources import roles

ACCEPTED = Reply(status=202)


class SchedulerCalls:
    """The calls of frameworks."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        frameworks: Frameworks,
        accepting: Accepting,
        tasks: Tasks,
        operations: Operations,
        draining: Draining,
    ) -> None:
        self._ledger = ledger
        self._frameworks = frameworks
        self._accepting = accepting
        self._tasks = tasks
        self._operations = operations
        self._draining = draining
        self._handlers: dict[str, Callable[[Framework, Json], object]] = {
            "TEARDOWN": self._teardown,
            "ACCEPT": accepting.accept,
            "DECLINE": lambda _, body: accepting.decline(body),
            "ACCEPT_INVERSE_OFFERS": lambda _, body: accepting.answer_inverse(body, "ACCEPT"),
            "DECLINE_INVERSE_OFFERS": lambda _, body: accepting.answer_inverse(body, "DECLINE"),
            "REVIVE": self._revive,
            "SUPPRESS": self._suppress,
            "KILL": self._kill,
            "SHUTDOWN": self._shutdown,
            "ACKNOWLEDGE": lambda framework, body: self._after(tasks.acknowledge(framework, body)),
            "ACKNOWLEDGE_OPERATION_STATUS": lambda framework, body: self._after(
                operations.acknowledge(framework, body)
            ),
            "RECONCILE": lambda framework, body: reconciling.reconcile(ledger, framework, body),
            "RECONCILE_OPERATIONS": operations.reconcile,
            "MESSAGE": self._message,
            "REQUEST": lambda *_: ledger.counters.update(messages_resource_request=1),
        }

    def perform(self, call: Json, stream_id: str | None, principal: str | None) -> Reply | Stream:
        """One call that has passed the checks of its structure, from an authenticated principal (None: anybody)."""
        kind = call["type"]
        body = call.get(kind.lower(), {})
        if kind == "SUBSCRIBE":
            if stream_id is not None:
                text = "Subscribe calls should not include the 'Mesos-Stream-Id' header"
                return Reply(status=400, body=text)
            return self._frameworks.subscribe(_with_principal(body, principal))
        framework = self._ledger.frameworks.get(call["framework_id"]["value"])
        if framework is None:
            return Reply(status=400, body="Framework cannot be found")
        refusal = _principal_problem(framework, principal) or _stream_problem(framework, stream_id)
        if refusal is not None:
            return refusal
        if kind == "UPDATE_FRAMEWORK":
            return self._frameworks.update(framework, body)
        handler = self._handlers.get(kind)
        if handler is None:
            return Reply(status=501, body="501 Not Implemented.")
        handler(framework, body)
        return ACCEPTED

    def _teardown(self, framework: Framework, _: Json) -> None:
        self._ledger.counters["messages_unregister_framework"] += 1
        self._frameworks.remove(framework)

    def _roles(self, framework: Framework, body: Json) -> list[str] | None:
        """The roles a call names; None if one of them is not the framework's, which spoils the whole call."""
        named: list[str] = body.get("roles", [])
        good = all(roles.problem(role) is None and role in framework.roles for role in named)
        return named if good else None

    def _revive(self, framework: Framework, body: Json) -> None:
        self._ledger.counters["messages_revive_offers"] += 1
        named = self._roles(framework, body)
        if named is not None:
            self._ledger.allocator.revive(framework.id, named)

    def _suppress(self, framework: Framework, body: Json) -> None:
        self._ledger.counters["messages_suppress_offers"] += 1
        named = self._roles(framework, body)
        if named is not None:
            self._ledger.allocator.suppress(framework.id, named)

    def _kill(self, framework: Framework, body: Json) -> None:
        self._ledger.counters["messages_kill_task"] += 1
        task = framework.tasks.get(body["task_id"]["value"])
        if task is None:
            asked = {key: body[key] for key in ("task_id", "agent_id") if key in body}
            reconciling.reconcile(self._ledger, framework, {"tasks": [asked]})
        else:
            self._tasks.kill(framework, task, body)

    def _shutdown(self, framework: Framework, body: Json) -> None:
        agent = self._ledger.agents.get(body["agent_id"]["value"])
        if agent is not None and agent.connected:
            executor_id = body["executor_id"]["value"]
            self._ledger.command(agent, ShutdownExecutor(framework_id=framework.id, executor_id=executor_id))

    def _message(self, framework: Framework, body: Json) -> None:
        self._ledger.counters["messages_framework_to_executor"] += 1
        agent = self._ledger.agents.get(body["agent_id"]["value"])
        if agent is not None and agent.connected:
            message = FrameworkMessage(
                framework_id=framework.id, executor_id=body["executor_id"]["value"], data=body["data"]
            )
            self._ledger.command(agent, message)

    def _after(self, agent: Agent | None) -> None:
        """An acknowledgement may have been the last thing a draining agent waited for."""
        if agent is not None:
            self._draining.look_after(agent)


def _with_principal(body: Json, principal: str | None) -> Json:
    """A FrameworkInfo without principal gets the authenticated one."""
    info = body["framework_info"]
    if principal is None or "principal" in info:
        return body
    return {**body, "framework_info": {**info, "principal": principal}}


def _principal_problem(framework: Framework, principal: str | None) -> Reply | None:
    if principal is None or principal == framework.principal:
        return None
    text = (
        f"Authenticated principal '{principal}' does not match principal '{framework.principal or ''}'"
        " set in `FrameworkInfo`"
    )
    return Reply(status=400, body=text)


def _stream_problem(framework: Framework, stream_id: str | None) -> Reply | None:
    if not framework.connected:
        return Reply(status=403, body="Framework is not subscribed")
    if stream_id is None:
        return Reply(status=400, body="All non-subscribe calls should include the 'Mesos-Stream-Id' header")
    if stream_id != framework.stream:
        text = (
            f"The stream ID '{stream_id}' included in this request didn't match the stream ID currently associated"
            f" with framework ID {framework.id}"
        )
        return Reply(status=400, body=text)
    return None
