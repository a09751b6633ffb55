"""ACCEPT, DECLINE and the answers to inverse offers.

Stage one judges the offer ids; one bad id spoils the whole call.  Stage two carries the operations out in order on
the pool of all the offers: each sees what those before it have left, and a failed one does not stop the others.
"""

from __future__ import annotations

from typing import Any

from headgate.simulator.master import operation_rules
from headgate.simulator.master.acceptance import Acceptance
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.operations import Operations
from headgate.simulator.master.records import Framework
from headgate.simulator.master.refusals import refuse_operation, refuse_task
from headgate.simulator.master.statuses import lost
from headgate.simulator.master.tasks import Tasks
from headgate.simulator.messages import Json
from headgate.simulator.resources import Resources, stacked


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
        for operation in operations:
            if operation["type"] == "LAUNCH":
                kind = "messages_launch_tasks" if _tasks_of(operation) else "messages_decline_offers"
                self._ledger.counters[kind] += 1
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
        run = Acceptance(self._ledger, self._tasks, self._operations, framework, agent, offered)
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
                refuse_operation(
                    self._ledger, framework, operation, f"Operation attempted with invalid offers: {problem}"
                )
                continue
            message = f"Task launched with invalid offers: {problem}"
            state = lost(framework, "TASK_DROPPED")
            self._ledger.counters["tasks_dropped" if framework.partition_aware else "tasks_lost"] += 1
            for task in _tasks_of(operation):
                refuse_task(self._ledger, framework, task, state, "REASON_INVALID_OFFERS", message)

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
                refuse_task(self._ledger, framework, task, "TASK_ERROR", reason, problem)
        else:
            refuse_operation(
                self._ledger, framework, operation, f"Operation attempted with invalid resources: {problem}"
            )
        return None

    # --- the end -------------------------------------------------------------------------------------------------

    def _settle(self, run: Acceptance, filters: Json) -> None:
        """Account for what was converted; give back the rest, filtered unless it was converted."""
        framework_id, agent_id = run.framework.id, run.agent.id
        if run.steps:
            self._ledger.allocator.convert(framework_id, agent_id, run.offered, run.steps)
        left = run.left + run.resized
        converted = left - run.offered
        self._ledger.allocator.recover(framework_id, agent_id, converted)
        self._offers.recover(framework_id, agent_id, run.left - converted, filters)


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
