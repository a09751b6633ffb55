"""The `Master` port over pymesos, the field's Python driver: for comparison, and for whoever trusts it more.

Our codec makes and reads the messages; pymesos's driver carries them, through its public interface.  What it cannot do
is refused or made good here, and said at the start:

* no TLS, no DC/OS login, one address or ZooKeeper: refused as options;
* no UPDATE_FRAMEWORK: what changes in FrameworkInfo is said by subscribing anew, offer constraints are refused;
* no SHUTDOWN of an executor: refused;  no grace period and no agent with KILL: left out;
* calls without a link would be dropped in silence: they raise `MasterUnavailable` here;
* no heartbeat watchdog: a half-open connection goes unnoticed, as pymesos issues 61 and 93 say;
* GPU_RESOURCES for everybody: offers of agents with GPUs come whether a job wants them or not.

Source: pymesos 0.3.15.
"""

from __future__ import annotations

import http.client
import importlib
import json
import logging
import re
import signal
import threading
from types import ModuleType, SimpleNamespace
from typing import Any, Final

from headgate.adapters.mesos_access import Doors
from headgate.adapters.mesos_codec import MULTI_ROLE, encode_call, framework_info
from headgate.adapters.mesos_codec_events import EventDecoder
from headgate.adapters.mesos_codec_resources import ReservedPart
from headgate.errors import BadOption, CallRejected, MasterUnavailable
from headgate.model.call import Accept, Call, Framework, UpdateFramework
from headgate.model.event import Disconnected, Refused, Subscribed
from headgate.model.ids import FrameworkId, OfferId
from headgate.ports import Clock, Deliver

log = logging.getLogger(__name__)

NOT_IMPLEMENTED: Final = 501
_STOP_S: Final = 30.0
_STATUS: Final = re.compile(r"Failed to send request (\d+): (.*)", re.DOTALL)
_NOT_SUBSCRIBED: Final = ("not subscribed", "cannot be found", "didn't match the stream ID")
_HOLES: Final = (
    "pymesos drives: no UPDATE_FRAMEWORK (so no offer constraints), no SHUTDOWN, no heartbeat watchdog, no TLS, and "
    "offers of GPU agents whether a job wants them or not"
)


def load_pymesos() -> ModuleType:
    """The library, kept from taking over the process's signals and log.  In the main thread.

    Raises:
        BadOption: it is not installed.
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        found = importlib.import_module("pymesos")
    except ImportError as problem:
        raise BadOption(
            f"--driver pymesos: it cannot be imported ({problem}); pip install 'headgate[pymesos]' on a Python where "
            "its http-parser builds, or leave out --driver"
        ) from problem
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, before)
    # What goes wrong in its thread it would tell with a faked Ctrl-C; here `_Callbacks.disconnected` tells it.
    process = importlib.import_module("pymesos.process")
    process.thread = SimpleNamespace(interrupt_main=lambda: None)  # type: ignore[attr-defined] # a module of theirs
    logging.getLogger("pymesos").handlers.clear()
    return found


def require_what_pymesos_can(master: str, doors: Doors) -> None:
    """Refuse options that pymesos has no means for.

    Raises:
        BadOption: naming the option.
    """
    if "://" in master and not master.startswith("zk://"):
        raise BadOption(f"--driver pymesos: --master {master}: it takes host:port or zk://…, no URL")
    if "," in master and not master.startswith("zk://"):
        raise BadOption(f"--driver pymesos: --master {master}: it takes one master; name several through zk://…")
    if doors.service_account is not None:
        raise BadOption("--driver pymesos: it cannot log in with a DC/OS service account")
    if doors.tls:
        raise BadOption("--driver pymesos: it has no TLS, so no --master-ca-file and no --master-cert-file")


class PymesosMaster:
    """See `mesos_http.MesosHttpMaster`, whose place it takes."""

    def __init__(
        self,
        *,
        master: str,
        doors: Doors,
        framework: Framework,
        framework_id: FrameworkId | None,
        deliver: Deliver,
        clock: Clock,
    ) -> None:
        """`framework_id` None: register a new framework.

        Raises:
            BadOption: pymesos is not there, or cannot do what is asked for.
        """
        require_what_pymesos_can(master, doors)
        pymesos = load_pymesos()
        self._deliver = deliver
        self._clock = clock
        self._framework = framework
        self._info: dict[str, Any] = framework_info(framework, framework_id)
        self._decoder = EventDecoder()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._reserved: dict[OfferId, tuple[ReservedPart, ...]] = {}
        self._subscribed = False
        self._started = False
        self._stopping = False
        self._return_to: str | None = None
        self._driver: Any = pymesos.MesosSchedulerDriver(
            _callbacks(pymesos.Scheduler, self),
            self._info,
            master,
            implicit_acknowledgements=False,
            principal=doors.principal,
            secret=doors.secret,
            failover=True,
        )

    def start(self) -> None:
        """Begin to subscribe, in the background.  Once."""
        log.warning("%s", _HOLES)
        self._started = True
        self._driver.start()

    def send(self, call: Call) -> None:
        """See `ports.Master`.  Any thread, but not from within `deliver`."""
        kind = type(call).__name__
        with self._sending:
            with self._lock:
                subscribed, framework_id = self._subscribed, self._info.get("id")
                reserved = self._reserved_of(call)
            if not subscribed or not self._driver.connected or framework_id is None:
                raise MasterUnavailable(f"{kind} was not sent: pymesos has no subscription")
            if isinstance(call, UpdateFramework):
                self._update(call)
                return
            body = encode_call(call, framework_id=framework_id["value"], framework=self._framework, reserved=reserved)
            message = json.loads(body)
            self._perform(kind, message["type"], message.get(message["type"].lower(), {}))
            with self._lock:
                for offer_id in getattr(call, "offer_ids", ()):
                    self._reserved.pop(offer_id, None)

    def stop(self, *, failover: bool) -> None:
        """End pymesos's thread; without `failover` it tears the framework down.  Idempotent."""
        with self._lock:
            self._stopping = True
        if self._started:
            self._driver.stop(failover=failover)
            ended = threading.Thread(target=self._driver.join, name="pymesos-join", daemon=True)
            ended.start()
            ended.join(_STOP_S)
            if ended.is_alive():
                log.warning("the thread of pymesos has not ended in time")

    def heard(self, kind: str, **body: Any) -> None:
        """An event, put together again from what a callback was given; from pymesos's thread."""
        record = json.dumps({"type": kind, kind.lower(): body}).encode()
        framework = self._framework
        role = "*" if MULTI_ROLE in framework.capabilities else framework.roles[0]
        decoded = self._decoder.decode(record, received_at=self._clock.now(), role=role)
        with self._lock:
            self._reserved.update(decoded.reserved)
        for event in decoded.events:
            if isinstance(event, Subscribed):
                with self._lock:
                    self._subscribed = True
                log.info("subscribed to Mesos master %s as framework %s", event.master, event.framework_id)
            self._deliver(event)

    def lost(self) -> None:
        """A connection is closed, or an attempt has failed; from pymesos's thread."""
        with self._lock:
            was, self._subscribed = self._subscribed, False
            self._reserved.clear()
            stopping = self._stopping
            return_to, self._return_to = self._return_to, None
        if return_to is not None:
            self._driver.change_master(return_to)
        if was:
            self._deliver(Disconnected(reason="stopped" if stopping else "pymesos has lost its connection"))
        if self._driver.aborted and not stopping:
            self._deliver(Refused(message="pymesos has given up; what it met is in the log above"))

    def _reserved_of(self, call: Call) -> tuple[ReservedPart, ...]:
        if not isinstance(call, Accept):
            return ()
        return tuple(part for offer_id in call.offer_ids for part in self._reserved.get(offer_id, ()))

    def _update(self, call: UpdateFramework) -> None:
        framework_id = self._info["id"]["value"]
        info = framework_info(call.framework, framework_id)
        if info == self._info:
            text = "UpdateFramework: pymesos has no UPDATE_FRAMEWORK, and offer constraints cannot be said without"
            raise CallRejected(text, status=NOT_IMPLEMENTED)
        log.info("subscribing anew, as pymesos cannot say otherwise what has changed in FrameworkInfo")
        self._framework = call.framework
        self._info.clear()
        self._info.update(info)
        with self._lock:
            self._return_to = self._driver.master
        # It subscribes anew only when it is sent elsewhere; `lost` then sends it back.
        self._driver.change_master(None)

    def _perform(self, kind: str, type_: str, body: dict[str, Any]) -> None:
        driver = self._driver
        try:
            match type_:
                case "ACCEPT":
                    driver.acceptOffers(body["offer_ids"], body.get("operations", []), body["filters"])
                case "DECLINE":
                    driver.declineOffer(body["offer_ids"], body["filters"])
                case "ACCEPT_INVERSE_OFFERS":
                    driver.acceptInverseOffers(body["inverse_offer_ids"])
                case "DECLINE_INVERSE_OFFERS":
                    driver.declineInverseOffer(body["inverse_offer_ids"], body["filters"])
                case "REVIVE":
                    driver.reviveOffers(body.get("roles", ()))
                case "SUPPRESS":
                    driver.suppressOffers(body.get("roles", ()))
                case "KILL":
                    driver.killTask(body["task_id"])
                case "ACKNOWLEDGE":
                    driver.acknowledgeStatusUpdate(body)
                case "ACKNOWLEDGE_OPERATION_STATUS":
                    driver.acknowledgeOperationStatusUpdate(body)
                case "RECONCILE":
                    driver.reconcileTasks(body["tasks"])
                case "RECONCILE_OPERATIONS":
                    driver.reconcileOperations(body["operations"])
                case "MESSAGE":
                    driver.sendFrameworkMessage(body["executor_id"], body["agent_id"], body["data"])
                case "REQUEST":
                    driver.requestResources(body["requests"])
                case _:
                    raise CallRejected(f"{kind}: pymesos has no {type_}", status=NOT_IMPLEMENTED)
        except (OSError, http.client.HTTPException) as problem:
            raise MasterUnavailable(f"{kind}: no answer: {problem!r}") from problem
        except RuntimeError as problem:
            raise _meaning(kind, str(problem)) from problem


def _meaning(kind: str, text: str) -> MasterUnavailable | CallRejected:
    """What pymesos means with its RuntimeError."""
    found = _STATUS.match(text)
    if found is None:
        return MasterUnavailable(f"{kind}: {text}")
    status, said = int(found.group(1)), found.group(2)[:500]
    if not 400 <= status < 500 or status in (404, 408, 429) or any(each in said for each in _NOT_SUBSCRIBED):
        return MasterUnavailable(f"{kind}: the master answered {status}: {said}")
    return CallRejected(f"{kind}: the master answered {status}: {said}", status=status)


def _callbacks(scheduler: type[Any], master: PymesosMaster) -> Any:
    """A scheduler of pymesos's that hands everything on."""

    class Callbacks(scheduler):  # type: ignore[misc] # a class of theirs, without types
        def registered(self, driver: Any, framework_id: Any, info: Any) -> None:  # noqa: ARG002
            master.heard("SUBSCRIBED", framework_id=framework_id, master_info=info)

        def reregistered(self, driver: Any, info: Any) -> None:
            master.heard("SUBSCRIBED", framework_id={"value": driver.framework_id}, master_info=info)

        def disconnected(self, driver: Any) -> None:  # noqa: ARG002
            master.lost()

        def resourceOffers(self, driver: Any, offers: Any) -> None:  # noqa: ARG002, N802
            master.heard("OFFERS", offers=offers)

        def inverseOffers(self, driver: Any, offers: Any) -> None:  # noqa: ARG002, N802
            master.heard("INVERSE_OFFERS", inverse_offers=offers)

        def offerRescinded(self, driver: Any, offer_id: Any) -> None:  # noqa: ARG002, N802
            master.heard("RESCIND", offer_id=offer_id)

        def inverseOfferRescinded(self, driver: Any, offer_id: Any) -> None:  # noqa: ARG002, N802
            master.heard("RESCIND_INVERSE_OFFER", inverse_offer_id=offer_id)

        def processHeartBeat(self, driver: Any) -> None:  # noqa: ARG002, N802
            master.heard("HEARTBEAT")

        def statusUpdate(self, driver: Any, status: Any) -> None:  # noqa: ARG002, N802
            master.heard("UPDATE", status=status)

        def operationStatusUpdate(self, driver: Any, status: Any) -> None:  # noqa: ARG002, N802
            master.heard("UPDATE_OPERATION_STATUS", status=status)

        def frameworkMessage(self, driver: Any, executor_id: Any, agent_id: Any, data: Any) -> None:  # noqa: ARG002, N802
            master.heard("MESSAGE", executor_id=executor_id, agent_id=agent_id, data=data)

        def slaveLost(self, driver: Any, agent_id: Any) -> None:  # noqa: ARG002, N802
            master.heard("FAILURE", agent_id=agent_id)

        def executorLost(self, driver: Any, executor_id: Any, agent_id: Any, status: Any) -> None:  # noqa: ARG002, N802
            master.heard("FAILURE", executor_id=executor_id, agent_id=agent_id, status=status)

        def error(self, driver: Any, message: Any) -> None:  # noqa: ARG002
            master.heard("ERROR", message=message)

    return Callbacks()
