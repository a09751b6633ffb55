"""ACCEPT, DECLINE and the answers to inverse offers.

Stage one judges the offer ids; one bad id spoils the whole call.  Stage two carries the operations out in order on
the pool of all the offers: each sees what those before it have left, and a failed one does not stop the others.
"""

from __future__ import annotations

from typing import Any

from headgate.simulator.master import operation_rules, task_rules
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.operations import Operations
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.master.statuses import lost, operation_event, operation_status, task_status, update_event
from headgate.simulator.master.tasks import Tasks
from headgate.simulator.messages import Json, RunTask, RunTaskGroup
from headgate.simulator.resources import EMPTY, Conversion, Refused, Resources, apply, conversions, stacked


class Accepting:
    """What schedulers do with offers."""

    def __init__(self, ledger: Ledger, offers: Offers, tasks: Tasks, operations: Operations) -> None:
        self._ledger = ledger
        self._offers = offers
        self._tasks = tasks
        self._operations = operations

    def accept(self, framework: Framework, body: Json) -> None:
        """ACCEPT."""
        offer_ids = [item["value"] for item in body.get("offer_ids", ())]
        operations = [
            operation for operation in body.get("operations", ()) if operation.get("type") in operation_rules.KNOWN
        ]
        problem = self._offers_problem(framework, offer_ids)
        if problem is not None:
            self._spoil(framework, offer_ids, operations, problem)
            return
        offers = [self._ledger.offers[offer_id] for offer_id in offer_ids]
        agent = self._ledger.agents[offers[0].agent_id]
        role = offers[0].role
        wanted = [self._judge(framework, operation) for operation in operations]
        allocated = [_allocated(operation, role, framework) for operation in wanted if operation is not None]
        for offer in offers:
            self._offers.remove(offer)
        offered = Resources.total(offer.resources for offer in offers)
        run = _Acceptance(self._ledger, self._tasks, self._operations, framework, agent, offered)
        for operation in allocated:
            run.perform(operation)
        self._settle(run, body.get("filters", {}))

    def decline(self, body: Json) -> None:
        """DECLINE: offers that are there are used up, whoever owns them."""
        self._ledger.counters["messages_decline_offers"] += 1
        for item in body.get("offer_ids", ()):
            offer = self._ledger.offers.get(item["value"])
            if offer is not None:
                self._offers.discard(offer, body.get("filters", {}))

    def answer_inverse(self, body: Json, status: str) -> None:
        """ACCEPT_INVERSE_OFFERS or DECLINE_INVERSE_OFFERS: recorded, and filtered either way."""
        for item in body.get("inverse_offer_ids", ()):
            offer = self._ledger.inverse_offers.get(item["value"])
            if offer is not None:
                self._ledger.consents.setdefault(offer.agent_id, {})[offer.framework_id] = (status, self._ledger.now)
                self._offers.answer_inverse(offer, body.get("filters"))

    # --- stage one -----------------------------------------------------------------------------------------------

    def _offers_problem(self, framework: Framework, offer_ids: list[str]) -> str | None:
        if not offer_ids:
            return "No offers specified"
        for index, offer_id in enumerate(offer_ids):
            if offer_id in offer_ids[:index]:
                return f"Duplicate offer {offer_id} in offer list"
        known = self._ledger.offers
        for offer_id in offer_ids:
            if offer_id not in known:
                return f"Offer {offer_id} is no longer valid"
        offers = [known[offer_id] for offer_id in offer_ids]
        for offer in offers:
            if offer.framework_id != framework.id:
                return (
                    f"Offer {offer.id} has invalid framework {offer.framework_id}"
                    f" while framework {framework.id} is expected"
                )
        first = offers[0]
        for offer in offers:
            if offer.role != first.role:
                return (
                    f"Aggregated offers must be allocated to the same role. Offer {offer.id} uses role"
                    f" '{offer.role} but another is using role '{first.role}"
                )
        for offer in offers:
            if offer.agent_id != first.agent_id:
                return (
                    f"Aggregated offers must belong to one single agent. Offer {offer.id} uses agent"
                    f" {offer.agent_id} and agent {first.agent_id}"
                )
        return None

    def _spoil(self, framework: Framework, offer_ids: list[str], operations: list[Json], problem: str) -> None:
        for offer_id in offer_ids:
            if offer_id in self._ledger.offers:
                self._offers.discard(self._ledger.offers[offer_id])
        for operation in operations:
            if operation["type"] not in operation_rules.LAUNCHES:
                refuse(self._ledger, framework, operation, f"Operation attempted with invalid offers: {problem}")
                continue
            message = f"Task launched with invalid offers: {problem}"
            state = lost(framework, "TASK_DROPPED")
            self._ledger.counters["tasks_dropped" if framework.partition_aware else "tasks_lost"] += 1
            for task in _tasks_of(operation):
                report(self._ledger, framework, task, state, "REASON_INVALID_OFFERS", message)

    def _judge(self, framework: Framework, operation: Json) -> Json | None:
        """The operation if its form is right; otherwise what has to be said is said."""
        kind = operation["type"]
        problem = operation_rules.first_problem_of(operation)
        if problem is None and kind in operation_rules.LAUNCHES and "id" in operation:
            problem = f"The `id` field cannot be set on {kind} operations"
        if problem is None:
            return operation
        if kind in operation_rules.LAUNCHES:
            reason = "REASON_TASK_INVALID" if kind == "LAUNCH" else "REASON_TASK_GROUP_INVALID"
            for task in _tasks_of(operation):
                report(self._ledger, framework, task, "TASK_ERROR", reason, problem)
        else:
            refuse(self._ledger, framework, operation, f"Operation attempted with invalid resources: {problem}")
        return None

    # --- the end -------------------------------------------------------------------------------------------------

    def _settle(self, run: _Acceptance, filters: Json) -> None:
        """Account for what was converted; give back the rest, filtered unless it was converted."""
        framework_id, agent_id = run.framework.id, run.agent.id
        if run.steps:
            self._ledger.allocator.convert(framework_id, agent_id, run.offered, run.steps)
        left = run.left + run.resized
        converted = left - run.offered
        self._ledger.allocator.recover(framework_id, agent_id, converted)
        self._offers.recover(framework_id, agent_id, run.left - converted, filters)


class _Acceptance:
    """The pool of one ACCEPT, and what its operations have made of it."""

    def __init__(
        self,
        ledger: Ledger,
        tasks: Tasks,
        operations: Operations,
        framework: Framework,
        agent: Agent,
        offered: Resources,
    ) -> None:
        self._ledger = ledger
        self._tasks = tasks
        self._operations = operations
        self.framework = framework
        self.agent = agent
        self.offered = offered
        self.left = offered
        self.resized = EMPTY
        self.steps: list[Conversion] = []
        self._shared = offered.filter(lambda kind: kind.shared)
        self._new_executor = False

    def perform(self, operation: Json) -> None:
        """One operation; whatever goes wrong is reported to the framework."""
        kind = operation["type"]
        if kind == "LAUNCH":
            for task in operation["launch"].get("task_infos", ()):
                self._launch(task)
        elif kind == "LAUNCH_GROUP":
            self._launch_group(operation["launch_group"])
        else:
            self._convert(operation)

    # --- conversions ---------------------------------------------------------------------------------------------

    def _convert(self, operation: Json) -> None:
        ledger, kind = self._ledger, operation["type"]
        pool = ledger.allocator.total(self.agent.id)
        problem = operation_rules.problem(operation, self.agent, pool, self.framework)
        if problem is not None:
            self._refuse(operation, f"{problem}; on agent {self.agent.description}")
            return
        if kind == "DESTROY":
            self._operations.withdraw_offers_of(operation["destroy"]["volumes"], self.agent)
        steps = conversions(operation)
        after = apply(self.left, steps)
        resizing = kind in ("GROW_VOLUME", "SHRINK_VOLUME")
        if isinstance(after, Refused):
            self._refuse(operation, f"Invalid {kind} operation: {after.reason}" if resizing else after.reason)
            return
        if resizing:
            self.left -= steps[0].consumed
            self.resized += steps[0].converted
        else:
            self.left = after
            if kind in ("CREATE", "DESTROY"):
                self._shared = after.filter(lambda kind: kind.shared)
        self.steps += steps
        self._operations.start(operation, self.agent, self.framework)

    def _refuse(self, operation: Json, message: str) -> None:
        refuse(self._ledger, self.framework, operation, message)

    # --- launches ------------------------------------------------------------------------------------------------

    def _launch(self, task: Json) -> None:
        available = self.left.filter(lambda kind: not kind.shared) + self._shared
        problem = task_rules.task_problem(task, self.framework, self.agent, available)
        if problem is not None:
            report(self._ledger, self.framework, task, "TASK_ERROR", "REASON_TASK_INVALID", problem)
            return
        executor = task.get("executor")
        starts = self._enter_executor(executor) if executor is not None else EMPTY
        self._tasks.add(task, self.framework, self.agent)
        self._consume(Resources.of(task["resources"]) + starts)
        message = RunTask(
            framework=self.framework.info,
            task=task,
            executor=executor,
            launch_executor=None if executor is None else self._new_executor,
        )
        self._ledger.command(self.agent, message)

    def _launch_group(self, body: Json) -> None:
        executor, tasks = body["executor"], body["task_group"]["tasks"]
        problem = task_rules.group_problem(tasks, executor, self.framework, self.agent, self.left)
        if problem is not None:
            for task in tasks:
                report(self._ledger, self.framework, task, "TASK_ERROR", "REASON_TASK_GROUP_INVALID", problem)
            return
        total = self._enter_executor(executor)
        for task in tasks:
            self._tasks.add(task, self.framework, self.agent)
            total += Resources.of(task["resources"])
        self._consume(total)
        message = RunTaskGroup(
            framework=self.framework.info, executor=executor, tasks=tuple(tasks), launch_executor=self._new_executor
        )
        self._ledger.command(self.agent, message)

    def _enter_executor(self, executor: Json) -> Resources:
        """What has to be paid for the executor: nothing if it is there already."""
        self._new_executor = not self.agent.has_executor(self.framework.id, executor["executor_id"]["value"])
        if not self._new_executor:
            return EMPTY
        self._tasks.add_executor(executor, self.framework, self.agent)
        return Resources.of(executor.get("resources", ()))

    def _consume(self, consumed: Resources) -> None:
        """Take from the pool; shared volumes can be used by any number of tasks, each copy is accounted for."""
        shared = consumed.filter(lambda kind: kind.shared)
        additional = shared - self.left.filter(lambda kind: kind.shared)
        if additional:
            self.steps.append(Conversion(consumed=EMPTY, converted=additional))
        self.left -= consumed


def report(ledger: Ledger, framework: Framework, task: Json, state: str, reason: str, message: str) -> None:
    """Tell a framework that a task it described will not be."""
    if state == "TASK_ERROR":
        ledger.counters["tasks_error"] += 1
    status = task_status(ledger, task["task_id"]["value"], task["agent_id"]["value"], state, reason, message)
    ledger.tell(framework, update_event(status))


def refuse(ledger: Ledger, framework: Framework, operation: Json, message: str) -> None:
    """OPERATION_ERROR, if the operation has an id."""
    if "id" in operation:
        status = operation_status("OPERATION_ERROR", operation["id"]["value"], message)
        ledger.tell(framework, operation_event(status))


def _tasks_of(operation: Json) -> list[Json]:
    body = operation.get(operation["type"].lower(), {})
    tasks: list[Json] = body.get("task_infos") or body.get("task_group", {}).get("tasks", [])
    return tasks


def _allocated(operation: Json, role: str, framework: Framework) -> Json:
    """The operation as the master understands it: resources in the stack form, allocated, gaps filled in."""
    kind = operation["type"]
    body = _with_allocation(operation[kind.lower()], role)
    if kind == "LAUNCH":
        body["task_infos"] = [_completed(task, framework) for task in body.get("task_infos", ())]
    elif kind == "LAUNCH_GROUP":
        tasks = body["task_group"].get("tasks", [])
        body["task_group"] = {"tasks": [{"executor": body["executor"], **task} for task in tasks]}
    return {**operation, kind.lower(): body}


def _completed(task: Json, framework: Framework) -> Json:
    if "executor" in task and "framework_id" not in task["executor"]:
        task = {**task, "executor": {**task["executor"], "framework_id": {"value": framework.id}}}
    check = task.get("health_check")
    if check is not None and "type" not in check and ("command" in check) != ("http" in check):
        task = {**task, "health_check": {**check, "type": "COMMAND" if "command" in check else "HTTP"}}
    return task


_RESOURCE_FIELDS = frozenset({"resources", "volumes", "volume", "addition", "source"})
_DESCEND = frozenset({"task_infos", "executor", "task_group", "tasks"})


def _with_allocation(message: Json, role: str) -> Json:
    changed: Json = {}
    for field, value in message.items():
        if field in _RESOURCE_FIELDS and not isinstance(value, str):
            changed[field] = _each(value, lambda resource: {"allocation_info": {"role": role}, **stacked(resource)})
        elif field in _DESCEND:
            changed[field] = _each(value, lambda inner: _with_allocation(inner, role))
        else:
            changed[field] = value
    return changed


def _each(value: Any, change: Any) -> Any:
    return [change(item) for item in value] if isinstance(value, list) else change(value)
