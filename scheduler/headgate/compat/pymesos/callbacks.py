"""What a framework implements.  Every method may be left out; each is called from the driver's thread, one at a time.

Messages are those of Mesos's v1 API in JSON, as dicts, or as `Dict`s for a driver with `use_addict`.  The spelling of
the names is pymesos's, which has it from Mesos's old interface.
"""

from __future__ import annotations

import sys
from typing import Any

Message = dict[str, Any]


class Scheduler:
    """A framework's scheduler."""

    def registered(self, driver: Any, frameworkId: Message, masterInfo: Message) -> None:
        """Subscribed for the first time; the id is to be kept for the next start."""

    def reregistered(self, driver: Any, masterInfo: Message) -> None:
        """Subscribed again, or under an id from an earlier start.  All offers from before are void."""

    def disconnected(self, driver: Any) -> None:
        """The subscription is lost; the driver is at it."""

    def processHeartBeat(self, driver: Any) -> None:
        """A heartbeat has come."""

    def resourceOffers(self, driver: Any, offers: list[Message]) -> None:
        """New offers; each is to be accepted or declined."""

    def inverseOffers(self, driver: Any, offers: list[Message]) -> None:
        """Agents that somebody wants back."""

    def offerRescinded(self, driver: Any, offerId: Message) -> None:
        """An offer is no more."""

    def inverseOfferRescinded(self, driver: Any, offerId: Message) -> None:
        """An inverse offer is no more."""

    def statusUpdate(self, driver: Any, status: Message) -> None:
        """A task's status.  With implicit acknowledgements, returning acknowledges it."""

    def operationStatusUpdate(self, driver: Any, status: Message) -> None:
        """An operation's status; acknowledged likewise."""

    def frameworkMessage(self, driver: Any, executorId: Message, slaveId: Message, message: str) -> None:
        """A message from an executor, in base64; any may be lost."""

    def slaveLost(self, driver: Any, slaveId: Message) -> None:
        """A hint that an agent is gone; updates of its tasks follow."""

    def executorLost(self, driver: Any, executorId: Message, slaveId: Message, status: int) -> None:
        """A hint that an executor has ended; updates of its tasks follow."""

    def error(self, driver: Any, message: str) -> None:  # noqa: ARG002
        """The master refuses this framework, and the driver has ended."""
        sys.stderr.write(f"Mesos refuses the framework: {message}\n")


class Executor:
    """A framework's executor."""

    def registered(self, driver: Any, executorInfo: Message, frameworkInfo: Message, slaveInfo: Message) -> None:
        """Subscribed for the first time."""

    def reregistered(self, driver: Any, slaveInfo: Message) -> None:
        """Subscribed again, at an agent that was restarted."""

    def disconnected(self, driver: Any) -> None:
        """The agent is lost; with checkpointing the driver waits for it to come back."""

    def launchTask(self, driver: Any, task: Message) -> None:
        """Start a task, and return soon."""

    def launchTaskGroup(self, driver: Any, task_infos: list[Message]) -> None:
        """Start tasks that belong together."""

    def killTask(self, driver: Any, taskId: Message) -> None:
        """End a task."""

    def frameworkMessage(self, driver: Any, message: str) -> None:
        """A message from the scheduler, in base64."""

    def shutdown(self, driver: Any) -> None:
        """End all tasks; when this returns the driver ends, and a while later the process is killed."""

    def error(self, driver: Any, message: str) -> None:  # noqa: ARG002
        """The agent refuses this executor, and the driver has ended."""
        sys.stderr.write(f"the agent refuses the executor: {message}\n")


class OperatorMaster:
    """Somebody who watches a master."""

    def taskAdded(self, task_info: Message) -> None:
        """The master has a new task."""

    def taskUpdated(self, task_info: Message) -> None:
        """A task's state has changed."""

    def frameworkAdded(self, framework_info: Message) -> None:
        """The master has a new framework."""

    def frameworkUpdated(self, framework_info: Message) -> None:
        """A framework has subscribed again."""

    def frameworkRemoved(self, framework_info: Message) -> None:
        """A framework is gone."""

    def agentAdded(self, agent_info: Message) -> None:
        """The master has a new agent."""

    def agentRemoved(self, agent_id: str) -> None:
        """An agent is gone."""
