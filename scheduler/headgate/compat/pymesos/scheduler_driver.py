"""pymesos's `MesosSchedulerDriver`."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any, Final

from headgate.adapters.clock import SystemClock
from headgate.adapters.mesos_access import Doors, access_through, find_masters
from headgate.adapters.mesos_codec_events import HEARTBEAT_S
from headgate.adapters.mesos_link import Line
from headgate.adapters.mesos_subscription import SCHEDULER_API
from headgate.compat.pymesos.callbacks import Scheduler
from headgate.compat.pymesos.data import Json
from headgate.compat.pymesos.linked_driver import DAY, LinkedDriver

log = logging.getLogger(__name__)

_FAILOVER_TIMEOUT_S: Final = 100
"""What pymesos registers with when the framework does not say."""


class MesosSchedulerDriver(LinkedDriver):
    """Runs a `Scheduler`.

    `framework` is the FrameworkInfo, which gets its `id` here; with one in it, it is taken up again.  `master_uri` is
    `zk://…`, `host[:port]`, or several of these with commas, or a URL.  `failover` is for a callback that raises:
    whether the framework stays then.  `timeout` has no meaning here: the driver does not give up looking for a master.

    Beyond pymesos: `doors` for certificates and service accounts; `gpu_resources` False to get no offers of agents with
    GPUs, which pymesos takes for everybody.

    Every call raises `CallNotSent` without a subscription, and `CallRefused` if the master does not take it.
    """

    def __init__(
        self,
        sched: Scheduler,
        framework: Json,
        master_uri: str,
        use_addict: bool = False,
        implicit_acknowledgements: bool = True,
        principal: str | None = None,
        secret: str | None = None,
        failover: bool = False,
        timeout: float = DAY,
        *,
        doors: Doors | None = None,
        gpu_resources: bool = True,
    ) -> None:
        if doors is None:
            doors = Doors() if principal is None or secret is None else Doors(principal=principal, secret=secret)
        where = master_uri.replace("zoo://", "zk://", 1)
        super().__init__(
            api=SCHEDULER_API,
            find=lambda: find_masters(where, tls=doors.tls),
            access=access_through(doors, SystemClock()),
            use_addict=use_addict,
        )
        self.sched = sched
        self.master_uri = master_uri
        self.implicit_acknowledgements = implicit_acknowledgements
        self.version: str | None = None
        self._framework = framework
        self._failover = failover
        self._gpu_resources = gpu_resources
        del timeout

    @property
    def framework(self) -> Json:
        """The FrameworkInfo as it is registered."""
        info = dict(self._framework)
        capabilities = [each for each in info.get("capabilities", ()) if each["type"] != "GPU_RESOURCES"]
        if self._gpu_resources:
            capabilities.append({"type": "GPU_RESOURCES"})
        info["capabilities"] = capabilities
        info.setdefault("failover_timeout", _FAILOVER_TIMEOUT_S)
        return info

    @property
    def framework_id(self) -> str | None:
        """The framework's id, once it has one."""
        found: str | None = (self._framework.get("id") or {}).get("value")
        return found

    def stop(self, failover: bool = False) -> None:
        """End.  Without `failover` the framework is torn down, with all its tasks."""
        if not self.aborted and not failover and self.connected:
            try:
                self._call("TEARDOWN")
                self._framework.pop("id", None)
            except RuntimeError as problem:
                log.error("the framework could not be torn down: %s", problem)
        super().stop()

    def failed(self) -> None:
        """A callback has raised; the framework stays if the driver was made with `failover`."""
        self.stop(failover=self._failover)

    # Calls.

    def acceptOffers(self, offer_ids: Any, operations: list[Json], filters: Json | None = None) -> None:
        """Take offers of one agent, and do this with them; without operations they are declined."""
        if not operations:
            self.declineOffer(offer_ids, filters)
            return
        self._call("ACCEPT", {"offer_ids": _several(offer_ids), "operations": operations}, filters=filters)

    def launchTasks(self, offer_ids: Any, tasks: list[Json], filters: Json | None = None) -> None:
        """Launch tasks on offers of one agent; without tasks they are declined."""
        operations = [{"type": "LAUNCH", "launch": {"task_infos": tasks}}] if tasks else []
        self.acceptOffers(offer_ids, operations, filters)

    def declineOffer(self, offer_ids: Any, filters: Json | None = None) -> None:
        """Give offers back."""
        self._call("DECLINE", {"offer_ids": _several(offer_ids)}, filters=filters)

    def acceptInverseOffers(self, offer_ids: Any, filters: Json | None = None) -> None:
        """Agree to give agents back."""
        self._call("ACCEPT_INVERSE_OFFERS", {"inverse_offer_ids": _several(offer_ids)}, filters=filters)

    def declineInverseOffer(self, offer_ids: Any, filters: Json | None = None) -> None:
        """Refuse to."""
        self._call("DECLINE_INVERSE_OFFERS", {"inverse_offer_ids": _several(offer_ids)}, filters=filters)

    def reviveOffers(self, roles: Iterable[str] = ()) -> None:
        """Ask for offers again; without roles, of all."""
        self._call("REVIVE", {"roles": list(roles)})

    def suppressOffers(self, roles: Iterable[str] = ()) -> None:
        """Ask for no more offers; without roles, of all."""
        self._call("SUPPRESS", {"roles": list(roles)})

    def killTask(self, task_id: Json) -> None:
        """End a task."""
        self._call("KILL", {"task_id": task_id})

    def acknowledgeStatusUpdate(self, status: Json) -> None:
        """Confirm an update; one without `uuid` needs no confirmation."""
        if "uuid" in status:
            self._call("ACKNOWLEDGE", {name: status[name] for name in ("agent_id", "task_id", "uuid")})

    def acknowledgeOperationStatusUpdate(self, status: Json) -> None:
        """Confirm an operation's update; one without `uuid` or operation id needs no confirmation."""
        if "uuid" in status and "operation_id" in status:
            body = _only(status, "agent_id", "resource_provider_id", "operation_id")
            uuid = status["uuid"]
            body["uuid"] = uuid["value"] if isinstance(uuid, dict) else uuid
            self._call("ACKNOWLEDGE_OPERATION_STATUS", body)

    def reconcileTasks(self, tasks: Iterable[Json]) -> None:
        """Ask for the states of tasks; without any, of all."""
        self._call("RECONCILE", {"tasks": [_only(task, "task_id", "agent_id") for task in tasks]})

    def reconcileOperations(self, operations_: Iterable[Json]) -> None:
        """Ask for the states of operations."""
        names = ("operation_id", "agent_id", "resource_provider_id")
        self._call("RECONCILE_OPERATIONS", {"operations": [_only(each, *names) for each in operations_]})

    def sendFrameworkMessage(self, executor_id: Json, agent_id: Json, data: str) -> None:
        """Send an executor a message, in base64; any hop may lose it."""
        self._call("MESSAGE", {"agent_id": agent_id, "executor_id": executor_id, "data": data})

    def requestResources(self, requests: list[Json]) -> None:
        """Ask for resources; the usual allocator does not listen."""
        self._call("REQUEST", {"requests": requests})

    def _call(self, kind: str, body: Json | None = None, *, filters: Json | None = None) -> None:
        call: Json = {"type": kind, "framework_id": {"value": self.framework_id}}
        if filters is not None:
            assert body is not None
            body["filters"] = filters
        if body is not None:
            call[kind.lower()] = body
        self._post(kind, call)

    # What the link asks for.

    def subscribe_body(self) -> bytes:
        """See `mesos_link.Conversation`."""
        call: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": self.framework}}
        if self.framework_id is not None:
            call["framework_id"] = self._framework["id"]
        return json.dumps(call).encode()

    def lost(self, reason: str) -> None:
        """See `mesos_link.Conversation`."""
        super().lost(reason)
        self._call_back(self.sched.disconnected, self)

    def denied(self, message: str) -> None:
        """See `mesos_link.Conversation`."""
        self._call_back(self.sched.error, self, message)

    def on_event(self, kind: str, body: Json, line: Line) -> None:
        """Call what the event is for."""
        sched = self.sched
        match kind:
            case "SUBSCRIBED":
                self._on_subscribed(body, line)
            case "HEARTBEAT":
                self._call_back(sched.processHeartBeat, self)
            case "OFFERS":
                self._call_back(sched.resourceOffers, self, [self._given(each) for each in body.get("offers", ())])
            case "INVERSE_OFFERS":
                offers = [self._given(each) for each in body.get("inverse_offers", ())]
                self._call_back(sched.inverseOffers, self, offers)
            case "RESCIND":
                self._call_back(sched.offerRescinded, self, self._given(body["offer_id"]))
            case "RESCIND_INVERSE_OFFER":
                self._call_back(sched.inverseOfferRescinded, self, self._given(body["inverse_offer_id"]))
            case "UPDATE":
                self._call_back(self._on_update, body["status"])
            case "UPDATE_OPERATION_STATUS":
                self._call_back(self._on_operation_update, body["status"])
            case "MESSAGE":
                ids = self._given(body["executor_id"]), self._given(body["agent_id"])
                self._call_back(sched.frameworkMessage, self, *ids, body.get("data", ""))
            case "FAILURE":
                self._on_failure(body)
            case "ERROR":
                super().stop()
                self._call_back(sched.error, self, body.get("message", ""))
            case _:
                log.debug("an event of type %s is passed over", kind)

    def _on_subscribed(self, body: Json, line: Line) -> None:
        known = self.framework_id is not None
        self._framework["id"] = {"value": body["framework_id"]["value"]}
        self._opened(line)
        line.expect_heartbeats(body.get("heartbeat_interval_seconds") or HEARTBEAT_S)
        told: Json = dict(body.get("master_info", {}))
        self.version = told.get("version")
        host, _, port = (self.master or "").rpartition(":")
        info = self._given({**told, "hostname": told.get("hostname") or host, "port": told.get("port") or int(port)})
        if known:
            self._call_back(self.sched.reregistered, self, info)
        else:
            self._call_back(self.sched.registered, self, self._given(self._framework["id"]), info)

    def _on_update(self, status: Json) -> None:
        self.sched.statusUpdate(self, self._given(status))
        if self.implicit_acknowledgements:
            self.acknowledgeStatusUpdate(status)

    def _on_operation_update(self, status: Json) -> None:
        self.sched.operationStatusUpdate(self, self._given(status))
        if self.implicit_acknowledgements:
            self.acknowledgeOperationStatusUpdate(status)

    def _on_failure(self, body: Json) -> None:
        agent_id = self._given(body["agent_id"])
        if "executor_id" in body:
            executor_id = self._given(body["executor_id"])
            self._call_back(self.sched.executorLost, self, executor_id, agent_id, body.get("status", -1))
        else:
            self._call_back(self.sched.slaveLost, self, agent_id)


def _several(ids: Any) -> list[Any]:
    return [ids] if isinstance(ids, dict) else list(ids)


def _only(message: Json, *names: str) -> Json:
    return {name: message[name] for name in names if name in message}
