"""Containers that operators (and executors) launch through the agent's API, standalone or inside another.

They have no task and no executor.  A nested one ends with the container it is in, and can be waited for after its end
until it is removed; of a standalone one nothing is left.

Source: `Http::launchContainer` … `removeContainer` of Mesos's slave/http.cpp, containerizer/mesos/containerizer.cpp.
"""

from __future__ import annotations

import signal

from headgate.simulator.agent import containers, environment
from headgate.simulator.agent.state import AgentState, OperatorContainer
from headgate.simulator.messages import Json, Reply, SignalContainer, Stream, StreamEnd, StreamEvent
from headgate.simulator.ports import uuid4_text

OK = Reply(status=200)


def key(container_id: Json) -> str:
    """A container id as Mesos prints it: the ids of the containers it is in first, with dots between."""
    own = str(container_id["value"])
    return f"{key(container_id['parent'])}.{own}" if "parent" in container_id else own


def launch(state: AgentState, body: Json) -> Reply:
    """LAUNCH_CONTAINER and LAUNCH_NESTED_CONTAINER."""
    container_id = body["container_id"]
    name = key(container_id)
    if name in state.operator_containers or _task_container(state, container_id) is not None:
        return Reply(status=202)
    unsupported, problem = containers.refusal(body)
    if unsupported:
        return Reply(status=400, body="The provided ContainerInfo is not supported")
    if problem is not None:
        return Reply(status=400, body=problem)
    sandbox = f"containers/{container_id['value']}"
    user = None
    if "parent" in container_id:
        home = _home_of(state, container_id["parent"])
        if home is None:
            return Reply(status=400, body=f"Root container {name.partition('.')[0]} not found")
        sandbox, user = f"{home[0]}/{sandbox}", home[1]
    state.operator_containers[name] = OperatorContainer(container_id=container_id, sandbox=sandbox, user=user)
    command = body.get("command", {})
    state.outbox.append(
        containers.of_command(
            command,
            container_id=name,
            sandbox_path=sandbox,
            variables=environment.of_operator_container(command),
            user=user,
            agent_id=state.agent_id or "",
        )
    )
    return OK


def wait(state: AgentState, body: Json, kind: str) -> Reply | Stream:
    """WAIT_CONTAINER and WAIT_NESTED_CONTAINER: the answer comes with the container's end."""
    container_id = body["container_id"]
    name = key(container_id)
    known = state.operator_containers.get(name)
    if known is not None and known.status is not None:
        return Reply(status=200, body=_ended(kind, known.status))
    inner = name if known is not None else _task_container(state, container_id)
    if inner is None:
        return Reply(status=404, body=f"Container {name} cannot be found")
    stream = uuid4_text(state.randomness)
    state.waiting.setdefault(inner, []).append((stream, kind))
    return Stream(stream=stream, whole=True)


def kill(state: AgentState, body: Json) -> Reply:
    """KILL_CONTAINER and KILL_NESTED_CONTAINER: a signal, SIGKILL unless another is named."""
    container_id = body["container_id"]
    name = key(container_id)
    known = state.operator_containers.get(name)
    inner = name if known is not None and known.status is None else _task_container(state, container_id)
    if inner is None:
        return Reply(status=404, body=f"Container '{name}' cannot be found (or is already killed)")
    number = int(body.get("signal", signal.SIGKILL))
    state.outbox.append(SignalContainer(agent_id=state.agent_id or "", container_id=inner, signal=number))
    return OK


def remove(state: AgentState, body: Json) -> Reply:
    """REMOVE_CONTAINER and REMOVE_NESTED_CONTAINER: forget one that has ended."""
    name = key(body["container_id"])
    known = state.operator_containers.get(name)
    if known is not None and known.status is None:
        return Reply(status=500, body="Nested container has not terminated yet")
    state.operator_containers.pop(name, None)
    return OK


def ended(state: AgentState, container_id: str, status: int) -> None:
    """A container has ended, whosever it is: those in it go with it, and those who waited for it are told."""
    known = state.operator_containers.get(container_id)
    if known is not None:
        known.status = status
        if "parent" not in known.container_id:
            del state.operator_containers[container_id]
    for name, other in state.operator_containers.items():
        inside = name.startswith(f"{container_id}.") or f".{container_id}." in name
        if inside and other.status is None:
            kill_all = SignalContainer(agent_id=state.agent_id or "", container_id=name, signal=int(signal.SIGKILL))
            state.outbox.append(kill_all)
    for stream, kind in state.waiting.pop(container_id, ()):
        state.outbox += [StreamEvent(stream=stream, event=_ended(kind, status)), StreamEnd(stream=stream)]


def _ended(kind: str, status: int) -> Json:
    return {"type": kind, kind.lower(): {"exit_status": status}}


def _task_container(state: AgentState, container_id: Json) -> str | None:
    """The living container of an executor or of a task in one, by the name under which its process is known."""
    own, parent = container_id["value"], container_id.get("parent", {}).get("value")
    for _, executor in state.executors():
        if own in executor.live and (parent is None) == (own == executor.container_id):
            return str(own) if parent in (None, executor.container_id) else None
    return None


def _home_of(state: AgentState, container_id: Json) -> tuple[str, str | None] | None:
    """Sandbox and user of a living container; None if there is no such one."""
    known = state.operator_containers.get(key(container_id))
    if known is not None:
        return None if known.status is not None else (known.sandbox, known.user)
    name = _task_container(state, container_id)
    for framework, executor in state.executors():
        if name is not None and name in executor.live:
            user = executor.info.get("command", {}).get("user") or framework.info.get("user")
            nested = "" if name == executor.container_id else f"/containers/{name}"
            return executor.sandbox + nested, user
    return None
