"""Frameworks subscribe, lose their stream, come back, change and end."""

from __future__ import annotations

from headgate.simulator.master import acls, framework_rules
from headgate.simulator.master.books import Subscriber
from headgate.simulator.master.constraints import Invalid
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.records import Framework
from headgate.simulator.master.statuses import status_of_task
from headgate.simulator.master.tasks import Tasks
from headgate.simulator.master.views import framework_message
from headgate.simulator.messages import Json, Reply, ShutdownFramework, Stream, StreamEvent, UpdateFramework


class Frameworks:
    """The life of frameworks."""

    def __init__(self, ledger: Ledger, offers: Offers, tasks: Tasks) -> None:
        self._ledger = ledger
        self._offers = offers
        self._tasks = tasks

    # --- subscribing ---------------------------------------------------------------------------------------------

    def subscribe(self, body: Json) -> Stream:
        """SUBSCRIBE: always a stream, which holds an ERROR and ends if the subscription is refused."""
        ledger = self._ledger
        stream = ledger.new_stream_id()
        info = _normal(body["framework_info"])
        is_new = "id" not in info
        ledger.counters["messages_register_framework" if is_new else "messages_reregister_framework"] += 1
        problem = self._info_problem(info)
        wishes = framework_rules.wishes(info, body) if problem is None else Invalid(reason=problem)
        if isinstance(wishes, Invalid):
            return self._refuse(stream, wishes.reason)
        problem = acls.registration_problem(ledger.settings.acls, info)
        if problem is not None:
            return self._refuse(stream, problem)
        if is_new:
            info = {**info, "id": {"value": ledger.new_framework_id()}}
            framework = Framework(info=info, registered_at=ledger.now)
            framework.constraints = body.get("offer_constraints", {})
            self._connect(framework, stream)
            ledger.frameworks[framework.id] = framework
            ledger.allocator.add_framework(framework.id, wishes, {}, active=True)
            self._greet(framework)
            ledger.watch(_framework_event("FRAMEWORK_ADDED", framework))
            return _opened(stream)
        return self._resubscribe(stream, info, body, wishes)

    def _resubscribe(self, stream: str, info: Json, body: Json, wishes: Subscriber) -> Stream:
        ledger = self._ledger
        framework = ledger.frameworks.get(info["id"]["value"]) or self.recover(info)
        kept = {"user": framework.info["user"], "checkpoint": framework.info["checkpoint"]}
        info = {**info, **kept}
        problem = framework_rules.update_problem(framework.info, info)
        if problem is not None:
            return self._refuse(stream, problem)
        self._change(framework, info, body, wishes)
        if framework.recovered:
            framework.recovered = False
            framework.registered_at = framework.reregistered_at = ledger.now
            self._connect(framework, stream)
            ledger.allocator.activate_framework(framework.id)
        else:
            framework.reregistered_at = ledger.now
            self._fail_over(framework, stream)
        self._greet(framework)
        self._broadcast(framework)
        return _opened(stream)

    def _fail_over(self, framework: Framework, stream: str) -> None:
        old = framework.stream
        if framework.connected and old is not None:
            ledger_error = {"type": "ERROR", "error": {"message": "Framework failed over"}}
            self._ledger.tell(framework, ledger_error)
            self._ledger.end_stream(old)
        was_active = framework.active
        self._connect(framework, stream)
        self._offers.drop_all_of(framework, rescind=False)
        if not was_active:
            self._ledger.allocator.activate_framework(framework.id)

    def _connect(self, framework: Framework, stream: str) -> None:
        framework.stream = stream
        framework.connected = framework.active = True
        self._ledger.streams[stream] = framework.id

    def _greet(self, framework: Framework) -> None:
        settings = self._ledger.settings
        subscribed = {
            "framework_id": {"value": framework.id},
            "heartbeat_interval_seconds": settings.heartbeat_interval,
            "master_info": self._ledger.master_info(),
        }
        self._ledger.tell(framework, {"type": "SUBSCRIBED", "subscribed": subscribed})
        self._heartbeat(framework, framework.stream)

    def _heartbeat(self, framework: Framework, stream: str | None) -> None:
        if framework.connected and framework.stream == stream:
            ledger = self._ledger
            ledger.tell(framework, {"type": "HEARTBEAT"})
            due = ledger.now + ledger.settings.heartbeat_interval
            ledger.agenda.at(due, lambda: self._heartbeat(framework, stream))

    def _refuse(self, stream: str, message: str) -> Stream:
        event = {"type": "ERROR", "error": {"message": message}}
        self._ledger.outbox.append(StreamEvent(stream=stream, event=event))
        self._ledger.end_stream(stream)
        return _opened(stream)

    def _info_problem(self, info: Json) -> str | None:
        settings = self._ledger.settings
        problem = framework_rules.info_problem(info) or framework_rules.flags_problem(info, settings)
        if problem is None and "id" in info and info["id"]["value"] in self._ledger.completed:
            return "Framework has been removed"
        return problem

    # --- changing ------------------------------------------------------------------------------------------------

    def update(self, framework: Framework, body: Json) -> Reply:
        """UPDATE_FRAMEWORK: done when it is answered."""
        info = _normal(body["framework_info"])
        problem = self._info_problem(info)
        if problem is not None:
            return Reply(status=400, body=f"Supplied FrameworkInfo is not valid: {problem}")
        problem = framework_rules.update_problem(framework.info, info)
        if problem is not None:
            return Reply(status=400, body=f"FrameworkInfo update is not valid: {problem}")
        wishes = framework_rules.wishes(info, body)
        if isinstance(wishes, Invalid):
            return Reply(status=400, body=f"'UpdateFramework' call is not valid: {wishes.reason}")
        problem = acls.registration_problem(self._ledger.settings.acls, info)
        if problem is not None:
            return Reply(status=403, body=problem)
        changed = framework.info != info
        self._change(framework, info, body, wishes)
        if changed:
            self._broadcast(framework)
        return Reply(status=200)

    def _change(self, framework: Framework, info: Json, body: Json, wishes: Subscriber) -> None:
        self._ledger.allocator.update_framework(framework.id, wishes)
        for offer in list(framework.offers.values()):
            if offer.role not in wishes.roles:
                self._offers.rescind(offer)
        framework.info = info
        framework.constraints = body.get("offer_constraints", {})

    def _broadcast(self, framework: Framework) -> None:
        self._ledger.watch(_framework_event("FRAMEWORK_UPDATED", framework))
        for agent in self._ledger.agents.values():
            self._ledger.command(agent, UpdateFramework(framework=framework.info))

    def recover(self, info: Json) -> Framework:
        """A framework that an agent or its own subscription tells of; not connected."""
        ledger = self._ledger
        info = _normal(info)
        framework = Framework(info=info, registered_at=ledger.now, recovered=True)
        ledger.watch(_framework_event("FRAMEWORK_ADDED", framework))
        ledger.frameworks[framework.id] = framework
        wishes = framework_rules.wishes(info, {})
        assert not isinstance(wishes, Invalid), wishes
        ledger.allocator.add_framework(framework.id, wishes, {}, active=False)
        return framework

    # --- leaving -------------------------------------------------------------------------------------------------

    def disconnected(self, framework: Framework) -> None:
        """Its stream has broken: no more offers, and the time in which it may come back begins."""
        ledger = self._ledger
        self._deactivate(framework, rescind=True)
        framework.connected = False
        if framework.stream is not None:
            ledger.streams.pop(framework.stream, None)
        left_at = framework.reregistered_at
        timeout = max(0.0, float(framework.info["failover_timeout"]))
        ledger.agenda.at(ledger.now + timeout, lambda: self._failover_timeout(framework, left_at))

    def _failover_timeout(self, framework: Framework, left_at: float | None) -> None:
        is_same = self._ledger.frameworks.get(framework.id) is framework and framework.reregistered_at == left_at
        if is_same and not framework.connected:
            self.remove(framework)

    def _deactivate(self, framework: Framework, *, rescind: bool) -> None:
        framework.active = False
        self._ledger.allocator.deactivate_framework(framework.id)
        self._offers.drop_all_of(framework, rescind=rescind)

    def remove(self, framework: Framework) -> None:
        """TEARDOWN, or the failover timeout: agents end all of it, nothing is reported, the stream just ends."""
        ledger = self._ledger
        if framework.active:
            self._deactivate(framework, rescind=False)
        for agent in ledger.agents.values():
            ledger.command(agent, ShutdownFramework(framework_id=framework.id))
        for task in [*framework.tasks.values(), *framework.unreachable_tasks.values()]:
            message = f"Framework {framework.id} removed"
            self._tasks.update(task, status_of_task(ledger, task, "TASK_KILLED", "REASON_FRAMEWORK_REMOVED", message))
        for task in list(framework.tasks.values()):
            self._tasks.remove(task)
        for task in framework.unreachable_tasks.values():
            self._tasks.complete(framework, task)
        framework.unreachable_tasks.clear()
        for agent_id, executors in list(framework.executors.items()):
            for executor_id in list(executors):
                self._tasks.remove_executor(ledger.agents[agent_id], framework.id, executor_id)
        framework.operations.clear()
        if framework.connected and framework.stream is not None:
            framework.connected = False
            ledger.end_stream(framework.stream)
        framework.unregistered_at = ledger.now
        del ledger.frameworks[framework.id]
        ledger.allocator.remove_framework(framework.id)
        ledger.completed[framework.id] = framework
        while len(ledger.completed) > ledger.settings.max_completed_frameworks:
            ledger.completed.popitem(last=False)
        removed = {"framework_info": framework.info}
        ledger.watch({"type": "FRAMEWORK_REMOVED", "framework_removed": removed})


def _opened(stream: str) -> Stream:
    return Stream(stream=stream)


def _normal(info: Json) -> Json:
    """With the defaults that are always shown, and without an empty id, which means none."""
    info = {"failover_timeout": 0.0, "checkpoint": False, **info}
    return info if info.get("id", {}).get("value") else {key: value for key, value in info.items() if key != "id"}


def _framework_event(kind: str, framework: Framework) -> Json:
    return {"type": kind, kind.lower(): {"framework": framework_message(framework)}}
