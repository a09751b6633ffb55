"""What the parts of the simulated cluster say to each other.

Three boundaries, each a closed set of frozen values:

* master ↔ agent: the messages of Mesos's own internal protocol (`messages.proto`), one class each;
* model → edge: `Output`, what a driver (the HTTP server, or a test in virtual time) has to carry out;
* edge → model: the methods of `Master` and `Agent`; their answers are `Reply` or `Stream`.

Times are seconds of the driver's clock (`now`), whatever its zero.  Nothing here behaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


# --- answers of the HTTP APIs ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A finished HTTP answer.  `body` is text (served as text/plain) or JSON (served as application/json)."""

    status: int
    body: str | Json | list[Any] = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A 200 answer that goes on: events follow as `StreamEvent` outputs that name `stream`, until its `StreamEnd`.

    `stream` is unique in the cluster; on the scheduler API it is also the value of the Mesos-Stream-Id header.
    `whole`: the first event is all there is to come, and is the body of an ordinary answer.
    """

    stream: str
    whole: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


# --- model → edge ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEvent:
    """Write one event to a stream (RecordIO framing is the edge's)."""

    stream: str
    event: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnd:
    """End a stream cleanly, after the events that came before."""

    stream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLink:
    """A persistent volume in a sandbox: a symbolic link at `path` (relative to the sandbox) to the folder `volume`
    (relative to the work directory), which is made if it is not there.
    """

    path: str
    volume: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartContainer:
    """Fetch, then start a process.  The edge answers with `container_started` or `container_failed`, and at its end
    with `container_exited`, all on the agent that asked.

    `argv` is what to execute (argv[0] may differ from `executable`), `environment` is complete: the process inherits
    nothing.  `sandbox` is relative to the agent's work directory; it is the working directory and takes the
    files `stdout` and `stderr`.  Text `{sandbox}` and `{work_dir}` in environment values stands for the absolute paths.
    `links` are made before the process starts.
    """

    agent_id: str
    container_id: str
    executable: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    sandbox: str
    uris: tuple[Json, ...] = ()
    user: str | None = None
    links: tuple[SandboxLink, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalContainer:
    """Send a signal to every process of a container.  Unknown or ended containers are no error."""

    agent_id: str
    container_id: str
    signal: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckTask:
    """Perform a check of a task once, within `timeout_s` (0: without limit); `checked` on the agent takes the result.

    `command` is the process of a check of kind COMMAND; HTTP and TCP go to `target["port"]` of the local host.
    """

    agent_id: str
    check_id: str
    kind: str
    target: Json
    timeout_s: float
    command: StartContainer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkVolumes:
    """Put volumes into the sandbox of a container that runs; links that are there already are no error."""

    agent_id: str
    sandbox: str
    links: tuple[SandboxLink, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveVolume:
    """Delete the folder of a destroyed persistent volume with all that is in it; no error if there is none."""

    agent_id: str
    volume: str


Output: TypeAlias = StreamEvent | StreamEnd | StartContainer | SignalContainer | CheckTask | LinkVolumes | RemoveVolume


# --- agent → master ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterAgent:
    """A new agent asks for an id.  `agent_info` is the v1 AgentInfo without `id`; `address` is its `ip:port`."""

    agent_info: Json
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReregisterAgent:
    """An agent with an id returns, with all it knows: its live and unacknowledged tasks (v1 Task JSON with `state`,
    `framework_id`, `executor_id` where custom, `statuses`), executors (ExecutorInfo) and their frameworks.
    """

    agent_info: Json
    address: str
    tasks: tuple[Json, ...]
    executors: tuple[Json, ...]
    frameworks: tuple[Json, ...]
    resources: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisterAgent:
    """A graceful goodbye."""

    agent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusUpdate:
    """An update on its way to the scheduler.  `latest_state` is the task's newest state (it frees resources at the
    master even when `status` is an older one that waits for its acknowledgement).  With `timestamp_added` the
    timestamp is the agent's, as the executor gave none; `/state` then shows 0.0.
    """

    agent_id: str
    framework_id: str
    status: Json
    latest_state: str
    timestamp_added: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitedExecutor:
    """An executor ended; `status` is the raw wait status.  `command` marks the built-in wrapper of a command task,
    of which frameworks hear nothing.
    """

    agent_id: str
    framework_id: str
    executor_id: str
    status: int
    command: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorMessage:
    """executor → scheduler, best effort; `data` is base64 text."""

    agent_id: str
    framework_id: str
    executor_id: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationUpdate:
    """Feedback on a RESERVE, CREATE and so on (v1 OperationStatus)."""

    agent_id: str
    framework_id: str | None
    status: Json
    operation_uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """The agent lives."""

    agent_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLinkBroken:
    """Not sent by an agent: the edge noticed that its process is gone (the master's TCP link to it broke)."""

    agent_id: str


FromAgent: TypeAlias = (
    RegisterAgent
    | ReregisterAgent
    | UnregisterAgent
    | StatusUpdate
    | ExitedExecutor
    | ExecutorMessage
    | OperationUpdate
    | Pong
    | AgentLinkBroken
)


# --- master → agent ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRegistered:
    """The id the master gave (also the answer to a re-registration).

    `reconcile_tasks`: tasks the master knows on this agent and the agent did not name, as
    `{framework_id, task_id, …}`; the agent answers for those it does not know (C.8 of the reference).  An item's
    `framework` (FrameworkInfo), where given, says whether that answer is TASK_DROPPED or TASK_LOST.
    `total_ping_timeout_s`: after how long without a ping the agent registers anew (None: its own setting).
    """

    agent_id: str
    reconcile_tasks: tuple[Json, ...] = ()
    total_ping_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """Are you there?  `connected` false tells an agent that the master thinks it is not."""

    connected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTask:
    """Launch one task.  `executor` is None for a command task; the agent then makes the wrapper itself.
    `framework` is the FrameworkInfo with id; resources carry `allocation_info`.  `launch_executor` is what the master
    expects: a new executor (True), one that is there (False), or either (None).
    """

    framework: Json
    task: Json
    executor: Json | None
    launch_executor: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTaskGroup:
    """Launch a group on a DEFAULT or CUSTOM executor; `launch_executor` as in `RunTask`."""

    framework: Json
    executor: Json
    tasks: tuple[Json, ...]
    launch_executor: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KillTask:
    """Ask for a task's end."""

    framework_id: str
    task_id: str
    kill_policy: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeUpdate:
    """The scheduler has got an update; `uuid` is base64 text as in the call."""

    framework_id: str
    task_id: str
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeOperation:
    """The scheduler has got an operation's terminal status."""

    operation_uuid: str
    status_uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkMessage:
    """scheduler → executor, best effort; `data` is base64 text."""

    framework_id: str
    executor_id: str
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownExecutor:
    """End an executor, within its grace period."""

    framework_id: str
    executor_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownFramework:
    """End every executor of a framework; nothing more is reported of it."""

    framework_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFramework:
    """A framework re-subscribed or changed its FrameworkInfo (whole, with id); updates may be resent now."""

    framework: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOperation:
    """RESERVE, UNRESERVE, CREATE, DESTROY: the agent keeps the result and answers.  If the scheduler gave no id, the
    master acknowledges that itself.
    """

    framework_id: str | None
    operation: Json
    operation_uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileOperations:
    """RECONCILE_OPERATIONS that only the agent can answer."""

    framework_id: str
    operations: tuple[Json, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainAgent:
    """Kill what runs, take nothing new.  `config` is the v1 DrainConfig."""

    config: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ShutdownAgent:
    """The master does not know, or has removed, this agent: end everything."""

    message: str


ToAgent: TypeAlias = (
    AgentRegistered
    | Ping
    | RunTask
    | RunTaskGroup
    | KillTask
    | AcknowledgeUpdate
    | AcknowledgeOperation
    | FrameworkMessage
    | ShutdownExecutor
    | ShutdownFramework
    | UpdateFramework
    | ApplyOperation
    | ReconcileOperations
    | DrainAgent
    | ShutdownAgent
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendToAgent:
    """Master's output, routed inside the cluster: one message for the agent at `address`."""

    address: str
    message: ToAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class SendToMaster:
    """Agent's output, routed inside the cluster."""

    address: str
    message: FromAgent


MasterOutput: TypeAlias = StreamEvent | StreamEnd | SendToAgent
AgentOutput: TypeAlias = (
    StreamEvent | StreamEnd | StartContainer | SignalContainer | CheckTask | LinkVolumes | RemoveVolume | SendToMaster
)
