"""Stage two of ACCEPT: the operations, one after the other, on the pool of the accepted offers."""

from __future__ import annotations

from headgate.simulator.master import acls, group_rules, operation_rules, task_rules
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.operations import Operations
from headgate.simulator.master.records import Agent, Framework
from headgate.simulator.master.refusals import refuse_operation, refuse_task
from headgate.simulator.master.tasks import Tasks
from headgate.simulator.messages import Json, RunTask, RunTaskGroup
from headgate.simulator.resources import EMPTY, Conversion, Refused, Resources, apply, conversions


class Acceptance:
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
        refuse_operation(self._ledger, self.framework, operation, message)

    # --- launches ------------------------------------------------------------------------------------------------

    def _launch(self, task: Json) -> None:
        problem = acls.launch_problem(self._ledger.settings.acls, self.framework.info, task)
        if problem is not None:
            refuse_task(self._ledger, self.framework, task, "TASK_ERROR", "REASON_TASK_UNAUTHORIZED", problem)
            return
        available = self.left.filter(lambda kind: not kind.shared) + self._shared
        problem = task_rules.task_problem(task, self.framework, self.agent, available)
        if problem is not None:
            refuse_task(self._ledger, self.framework, task, "TASK_ERROR", "REASON_TASK_INVALID", problem)
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
        info, rules = self.framework.info, self._ledger.settings.acls
        reason = "REASON_TASK_GROUP_UNAUTHORIZED"
        problem = next(filter(None, (acls.launch_problem(rules, info, task) for task in tasks)), None)
        if problem is None:
            reason = "REASON_TASK_GROUP_INVALID"
            problem = group_rules.problem(tasks, executor, self.framework, self.agent, self.left)
        if problem is not None:
            for task in tasks:
                refuse_task(self._ledger, self.framework, task, "TASK_ERROR", reason, problem)
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
