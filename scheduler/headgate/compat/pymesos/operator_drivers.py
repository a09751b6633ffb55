"""pymesos's drivers for operators: questions to a master or an agent, and a master's events."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any, Final

from headgate.adapters.clock import SystemClock
from headgate.adapters.interruptible_http import Access, Broken, InterruptibleSession, LoginRefused, error_text
from headgate.adapters.mesos_access import Doors, access_through, find_masters
from headgate.adapters.mesos_detection import Masters, listed_masters
from headgate.adapters.mesos_link import Line
from headgate.adapters.mesos_subscription import JSON_HEADERS, OPERATOR_API, TryLater, redirect_target
from headgate.compat.pymesos.callbacks import OperatorMaster
from headgate.compat.pymesos.data import Json
from headgate.compat.pymesos.linked_driver import DAY, CallNotSent, CallRefused, LinkedDriver

log = logging.getLogger(__name__)

_TIMEOUT_S: Final = (10.0, 10.0)
_HOPS_MAX: Final = 3
_HEARTBEAT_S: Final = 15.0


class _Questions:
    """Calls of the operator API that masters and agents both answer.  Any thread, one call at a time."""

    def __init__(self, find: Any, access: Access) -> None:
        self._where: Masters = find()
        self._entry = access
        self._asking = threading.Lock()

    def _send(self, kind: str, body: Json | None = None) -> Any:
        """The answer, parsed; {} when it is empty.

        Raises:
            CallNotSent: nobody answers.
            CallRefused: the call is not taken.
        """
        call: Json = {"type": kind} if body is None else {"type": kind, kind.lower(): body}
        with self._asking:
            session = InterruptibleSession(self._entry)
            try:
                return self._ask(session, kind, json.dumps(call).encode())
            except (Broken, TryLater) as problem:
                raise CallNotSent(f"{kind}: {problem}") from problem
            except LoginRefused as problem:
                raise CallRefused(f"{kind}: {problem}") from problem
            finally:
                session.close()

    def _ask(self, session: InterruptibleSession, kind: str, body: bytes) -> Any:
        base = self._where.next()
        if base is None:
            raise CallNotSent(f"{kind} was not sent: no Mesos master is known")
        url = base + OPERATOR_API.path
        for _ in range(_HOPS_MAX):
            auth = self._entry.auth if self._where.trusts(url) else None
            response = session.post(url, body, headers=dict(JSON_HEADERS), auth=auth, timeout=_TIMEOUT_S)
            with response:
                if 300 <= response.status_code < 400:
                    url = redirect_target(url, response)
                    continue
                if not 200 <= response.status_code < 300:
                    raise CallRefused(f"{kind}: {url} answered {response.status_code}: {error_text(response)}")
                answer = b"".join(session.chunks(response))
            return json.loads(answer) if answer else {}
        raise CallNotSent(f"{kind}: redirected more than {_HOPS_MAX} times")

    def getHealth(self) -> Any:
        """Whether it is well."""
        return self._send("GET_HEALTH")

    def getFlags(self) -> Any:
        """How it was started."""
        return self._send("GET_FLAGS")

    def getVersion(self) -> Any:
        """Its version."""
        return self._send("GET_VERSION")

    def getMetrics(self, timeout: int) -> Any:
        """Its metrics; `timeout` in nanoseconds."""
        return self._send("GET_METRICS", {"timeout": {"nanoseconds": timeout}})

    def getLoggingLevel(self) -> Any:
        """How much it logs."""
        return self._send("GET_LOGGING_LEVEL")

    def setLoggingLevel(self, level: int, duration: int) -> Any:
        """Log so much for so many nanoseconds."""
        return self._send("SET_LOGGING_LEVEL", {"duration": {"nanoseconds": duration}, "level": level})

    def listFiles(self, path: str) -> Any:
        """A directory of it."""
        return self._send("LIST_FILES", {"path": path})

    def readFile(self, path: str, length: int, offset: int) -> Any:
        """A part of a file of it."""
        return self._send("READ_FILE", {"length": length, "offset": offset, "path": path})

    def getState(self) -> Any:
        """All it knows."""
        return self._send("GET_STATE")

    def getFrameworks(self) -> Any:
        """The frameworks it knows."""
        return self._send("GET_FRAMEWORKS")

    def getExecutors(self) -> Any:
        """The executors it knows."""
        return self._send("GET_EXECUTORS")

    def getTasks(self) -> Any:
        """The tasks it knows."""
        return self._send("GET_TASKS")


class MesosOperatorMasterDriver(LinkedDriver, _Questions):
    """Asks a master, and with an `operator` and `start` tells it of the master's events."""

    def __init__(
        self,
        master_uri: str,
        operator: OperatorMaster | None = None,
        use_addict: bool = False,
        timeout: float = DAY,
        *,
        doors: Doors | None = None,
    ) -> None:
        doors = doors or Doors()
        access = access_through(doors, SystemClock())
        where = master_uri.replace("zoo://", "zk://", 1)

        def find() -> Masters:
            return find_masters(where, tls=doors.tls)

        LinkedDriver.__init__(self, api=OPERATOR_API, find=find, access=access, use_addict=use_addict)
        _Questions.__init__(self, find, access)
        self._where.start(lambda: None)
        self.operator = operator or OperatorMaster()
        self.master_uri = master_uri
        del timeout

    # What the link asks for.

    def subscribe_body(self) -> bytes:
        """See `mesos_link.Conversation`."""
        return b'{"type":"SUBSCRIBE"}'

    def denied(self, message: str) -> None:
        """See `mesos_link.Conversation`: `join` raises it, as there is no callback for it."""
        self._failure = CallRefused(message)

    def on_event(self, kind: str, body: Json, line: Line) -> None:
        """Call what the event is for."""
        operator = self.operator
        match kind:
            case "SUBSCRIBED":
                self._opened(line)
                line.expect_heartbeats(body.get("heartbeat_interval_seconds") or _HEARTBEAT_S)
            case "TASK_ADDED":
                self._call_back(operator.taskAdded, self._given(body["task"]))
            case "TASK_UPDATED":
                self._call_back(operator.taskUpdated, self._given(body))
            case "FRAMEWORK_ADDED":
                self._call_back(operator.frameworkAdded, self._given(body["framework"]))
            case "FRAMEWORK_UPDATED":
                self._call_back(operator.frameworkUpdated, self._given(body["framework"]))
            case "FRAMEWORK_REMOVED":
                self._call_back(operator.frameworkRemoved, self._given(body["framework_info"]))
            case "AGENT_ADDED":
                self._call_back(operator.agentAdded, self._given(body["agent"]))
            case "AGENT_REMOVED":
                self._call_back(operator.agentRemoved, body["agent_id"]["value"])
            case _:
                pass

    def getAgents(self) -> Any:
        """The agents."""
        return self._send("GET_AGENTS")

    def getRoles(self) -> Any:
        """The roles."""
        return self._send("GET_ROLES")

    def getWeights(self) -> Any:
        """The roles' weights."""
        return self._send("GET_WEIGHTS")

    def updateWeights(self, weight_infos: list[Json]) -> None:
        """Set weights, each with `role` and `weight`."""
        infos = [{"role": each["role"], "weight": each["weight"]} for each in weight_infos]
        self._send("UPDATE_WEIGHTS", {"weight_infos": infos})

    def getMaster(self) -> Any:
        """The leading master."""
        return self._send("GET_MASTER")

    def reserveResources(self, agent_id: str, resources: list[Json]) -> None:
        """Reserve resources of an agent."""
        self._send("RESERVE_RESOURCES", {"agent_id": {"value": agent_id}, "resources": resources})

    def unreserveResources(self, agent_id: str, resources: list[Json]) -> None:
        """Give reserved resources back."""
        self._send("UNRESERVE_RESOURCES", {"agent_id": {"value": agent_id}, "resources": resources})

    def createVolumes(self, agent_id: str, volumes: list[Json]) -> None:
        """Create persistent volumes."""
        self._send("CREATE_VOLUMES", {"agent_id": {"value": agent_id}, "volumes": volumes})

    def destroyVolumes(self, agent_id: str, volumes: list[Json]) -> None:
        """Destroy persistent volumes, with what is in them."""
        self._send("DESTROY_VOLUMES", {"agent_id": {"value": agent_id}, "volumes": volumes})

    def getMaintenanceStatus(self) -> Any:
        """Which machines are down or about to be."""
        return self._send("GET_MAINTENANCE_STATUS")

    def getMaintenanceSchedule(self) -> Any:
        """The windows of maintenance."""
        return self._send("GET_MAINTENANCE_SCHEDULE")

    def updateMaintenanceSchedule(self, windows: list[Json]) -> None:
        """Replace the windows of maintenance."""
        self._send("UPDATE_MAINTENANCE_SCHEDULE", {"schedule": {"windows": windows}})

    def startMaintenance(self, machines: list[Json]) -> None:
        """Take machines down, each with `hostname` and `ip`."""
        self._send("START_MAINTENANCE", {"machines": _machines(machines)})

    def stopMaintenance(self, machines: list[Json]) -> None:
        """Bring machines up again."""
        self._send("STOP_MAINTENANCE", {"machines": _machines(machines)})

    def getQuota(self) -> Any:
        """The roles' quotas."""
        return self._send("GET_QUOTA")

    def setQuota(self, quota_request: Json) -> None:
        """Set a role's quota."""
        self._send("SET_QUOTA", {"quota_request": quota_request})

    def removeQuota(self, role: str) -> None:
        """Take a role's quota away."""
        self._send("REMOVE_QUOTA", {"role": role})

    def markAgentGone(self, agent_id: str) -> None:
        """Say that an agent will never come back."""
        self._send("MARK_AGENT_GONE", {"agent_id": {"value": agent_id}})


class MesosOperatorAgentDriver(_Questions):
    """Asks an agent."""

    def __init__(self, agent_uri: str, *, doors: Doors | None = None) -> None:
        super().__init__(lambda: listed_masters(agent_uri), access_through(doors or Doors(), SystemClock()))

    def getContainers(self, show_nested: bool = False, show_standalone: bool = False) -> Any:
        """The containers on this agent."""
        return self._send("GET_CONTAINERS", {"show_nested": show_nested, "show_standalone": show_standalone})

    def launchNestedContainer(self, launch_nested_container: Json) -> None:
        """Launch a container within another."""
        self._send("LAUNCH_NESTED_CONTAINER", launch_nested_container)

    def waitNestedContainer(self, container_id: str, parent_id: str | None = None) -> Any:
        """Wait for its end."""
        return self._send("WAIT_NESTED_CONTAINER", _nested(container_id, parent_id))

    def killNestedContainer(self, container_id: str, parent_id: str | None = None) -> None:
        """End it."""
        self._send("KILL_NESTED_CONTAINER", _nested(container_id, parent_id))

    def removeNestedContainer(self, container_id: str, parent_id: str | None = None) -> None:
        """Remove what it has left."""
        self._send("REMOVE_NESTED_CONTAINER", _nested(container_id, parent_id))

    def addResourceProviderConfig(self, info: Json) -> None:
        """Launch a resource provider."""
        self._send("ADD_RESOURCE_PROVIDER_CONFIG", {"info": info})

    def updateResourceProviderConfig(self, info: Json) -> None:
        """Change it."""
        self._send("UPDATE_RESOURCE_PROVIDER_CONFIG", {"info": info})

    def removeResourceProviderConfig(self, type: str, name: str) -> None:  # noqa: A002
        """Remove it."""
        self._send("REMOVE_RESOURCE_PROVIDER_CONFIG", {"type": type, "name": name})

    def pruneImages(self, excluded_images: list[Json] | None = None) -> None:
        """Remove images that nobody uses, but these."""
        self._send("PRUNE_IMAGES", None if excluded_images is None else {"excluded_images": excluded_images})


def _machines(machines: list[Json]) -> list[Json]:
    return [{"hostname": each["hostname"], "ip": each["ip"]} for each in machines]


def _nested(container_id: str, parent_id: str | None) -> Json:
    found: Json = {"value": container_id}
    if parent_id is not None:
        found["parent"] = {"value": parent_id}
    return {"container_id": found}
