"""Operations on their way to agents, their feedback, and its reconciliation."""

from __future__ import annotations

from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.records import TERMINAL_OPERATION_STATES, Agent, Framework, Operation
from headgate.simulator.master.statuses import operation_event, operation_status
from headgate.simulator.messages import (
    AcknowledgeOperation,
    ApplyOperation,
    Json,
    OperationUpdate,
    ReconcileOperations,
)
from headgate.simulator.resources import Resources


class Operations:
    """The operation table of a master."""

    def __init__(self, ledger: Ledger, offers: Offers) -> None:
        self._ledger = ledger
        self._offers = offers

    def start(self, info: Json, agent: Agent, framework: Framework | None) -> None:
        """Tell the agent.  An operation with an id is remembered until its end is known and acknowledged; of others
        agents report nothing.
        """
        operation_id = info.get("id", {}).get("value")
        operation = Operation(
            uuid=self._ledger.new_uuid_bytes(),
            info=info,
            framework_id=None if framework is None else framework.id,
            agent_id=agent.id,
            latest=operation_status("OPERATION_PENDING", operation_id, agent_id=agent.id),
        )
        if operation.id is not None and framework is not None:
            agent.operations[operation.uuid] = framework.operations[operation.uuid] = operation
        message = ApplyOperation(framework_id=operation.framework_id, operation=info, operation_uuid=operation.uuid)
        self._ledger.command(agent, message)

    def withdraw_offers_of(self, volumes: list[Json], agent: Agent) -> None:
        """Rescind the offers that hold one of these volumes."""
        wanted = [Resources.of([volume]) for volume in volumes]
        for offer in list(agent.offers.values()):
            if any(offer.resources.contains(volume) for volume in wanted):
                self._offers.rescind(offer)

    def receive(self, message: OperationUpdate) -> None:
        """Feedback from an agent: forwarded, or acknowledged here if the framework is no more or gave no operation id.

        An answer to RECONCILE_OPERATIONS has no `operation_uuid` and is passed on as it is.
        """
        ledger = self._ledger
        agent = ledger.agents.get(message.agent_id)
        owner = ledger.frameworks.get(message.framework_id or "")
        if agent is None:
            return
        if not message.operation_uuid:
            if owner is not None:
                ledger.tell(owner, operation_event(message.status))
            return
        status = message.status
        operation = agent.operations.get(message.operation_uuid) or self._adopt(message, agent, owner)
        if operation is not None:
            if operation.latest["state"] not in TERMINAL_OPERATION_STATES:
                operation.latest = status
            if status not in operation.statuses:
                operation.statuses.append(status)
        if "operation_id" not in status:
            self._acknowledge_for_owner(message, agent)
        elif owner is not None:
            ledger.tell(owner, operation_event(status))
        elif message.framework_id is None or message.framework_id in ledger.completed:
            self._acknowledge_for_owner(message, agent)
        if operation is not None and status["state"] in TERMINAL_OPERATION_STATES and "uuid" not in status:
            self._remove(operation, agent)

    def _adopt(self, message: OperationUpdate, agent: Agent, owner: Framework | None) -> Operation | None:
        """An operation that an earlier master has started, so that its feedback can be acknowledged."""
        if owner is None or "operation_id" not in message.status:
            return None
        operation = Operation(
            uuid=message.operation_uuid,
            info={"id": message.status["operation_id"]},
            framework_id=owner.id,
            agent_id=agent.id,
            latest=message.status,
        )
        agent.operations[operation.uuid] = owner.operations[operation.uuid] = operation
        return operation

    def _acknowledge_for_owner(self, message: OperationUpdate, agent: Agent) -> None:
        status = message.status
        if "uuid" in status:
            uuid = status["uuid"]["value"]
            self._ledger.command(agent, AcknowledgeOperation(operation_uuid=message.operation_uuid, status_uuid=uuid))
        if status["state"] in TERMINAL_OPERATION_STATES:
            agent.operations.pop(message.operation_uuid, None)

    def _remove(self, operation: Operation, agent: Agent) -> None:
        agent.operations.pop(operation.uuid, None)
        owner = self._ledger.frameworks.get(operation.framework_id or "")
        if owner is not None:
            owner.operations.pop(operation.uuid, None)

    def acknowledge(self, framework: Framework, body: Json) -> Agent | None:
        """ACKNOWLEDGE_OPERATION_STATUS.  The agent, if it was told."""
        agent = self._ledger.agents.get(body["agent_id"]["value"])
        operation = _find(framework, body["operation_id"]["value"])
        if agent is None or not agent.connected or operation is None:
            return None
        acknowledged = [status for status in operation.statuses if status.get("uuid", {}).get("value") == body["uuid"]]
        if not acknowledged:
            return None
        if acknowledged[0]["state"] in TERMINAL_OPERATION_STATES:
            self._remove(operation, agent)
        message = AcknowledgeOperation(operation_uuid=operation.uuid, status_uuid=body["uuid"])
        self._ledger.command(agent, message)
        return agent

    def reconcile(self, framework: Framework, body: Json) -> None:
        """RECONCILE_OPERATIONS: those named, or all that are known."""
        asked = body.get("operations", [])
        if not asked:
            for operation in list(framework.operations.values()):
                self._ledger.tell(framework, operation_event(_without_uuid(operation)))
        forwarded: dict[str, list[Json]] = {}
        for item in asked:
            status = self._answer(framework, item)
            if status is None:
                forwarded.setdefault(item["agent_id"]["value"], []).append(
                    {key: item[key] for key in ("operation_id", "resource_provider_id")}
                )
            else:
                self._ledger.tell(framework, operation_event(status))
        for agent_id, operations in forwarded.items():
            message = ReconcileOperations(framework_id=framework.id, operations=tuple(operations))
            self._ledger.command(self._ledger.agents[agent_id], message)

    def _answer(self, framework: Framework, item: Json) -> Json | None:
        """The status to answer with; None if only the agent can."""
        ledger = self._ledger
        operation_id = item["operation_id"]["value"]
        agent_id = item.get("agent_id", {}).get("value")
        provider_id = item.get("resource_provider_id", {}).get("value")
        known = _find(framework, operation_id)
        if known is not None:
            return _without_uuid(known)
        if agent_id in ledger.agents and provider_id is not None:
            return None
        state, message = self._unknown(agent_id)
        return operation_status(
            state, operation_id, f"Reconciliation: {message}", agent_id=agent_id, provider_id=provider_id
        )

    def _unknown(self, agent_id: str | None) -> tuple[str, str]:
        ledger = self._ledger
        if agent_id is None:
            return "OPERATION_UNKNOWN", "Operation is unknown and no 'agent_id' was provided"
        if agent_id in ledger.recovered_agents:
            return "OPERATION_RECOVERING", "Agent is recovered but has not re-registered"
        if agent_id in ledger.agents:
            return "OPERATION_UNKNOWN", "Operation is unknown"
        if agent_id in ledger.unreachable:
            return "OPERATION_UNREACHABLE", "Agent is unreachable"
        if agent_id in ledger.gone:
            return "OPERATION_GONE_BY_OPERATOR", "Agent marked gone by operator"
        return "OPERATION_UNKNOWN", "Both operation and agent are unknown"

    def abandon(self, agent: Agent, state: str, message: str) -> None:
        """The agent is lost: say so of each operation with an id, and forget them all."""
        for operation in list(agent.operations.values()):
            owner = self._ledger.frameworks.get(operation.framework_id or "")
            if operation.id is not None and owner is not None and state:
                status = operation_status(state, operation.id, message, agent_id=agent.id)
                self._ledger.tell(owner, operation_event(status))
            self._remove(operation, agent)


def _find(framework: Framework, operation_id: str) -> Operation | None:
    return next((item for item in framework.operations.values() if item.id == operation_id), None)


def _without_uuid(operation: Operation) -> Json:
    status = operation.statuses[-1] if operation.statuses else operation.latest
    return {key: value for key, value in status.items() if key != "uuid"}
