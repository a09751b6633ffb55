"""`POST /api/v1`: the operator's calls."""

from __future__ import annotations

from collections.abc import Callable

from headgate.simulator.master import operation_rules, views
from headgate.simulator.master.draining import Draining
from headgate.simulator.master.endpoints import Endpoints
from headgate.simulator.master.frameworks import Frameworks
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.maintenance import Maintenance
from headgate.simulator.master.offers import Offers
from headgate.simulator.master.operations import Operations
from headgate.simulator.master.quota import Shares
from headgate.simulator.master.watchers import Watchers
from headgate.simulator.messages import Json, Reply, Stream
from headgate.simulator.resources import Refused, Resources, apply, conversions, stacked

_OPERATIONS = {
    "RESERVE_RESOURCES": "RESERVE",
    "UNRESERVE_RESOURCES": "UNRESERVE",
    "CREATE_VOLUMES": "CREATE",
    "DESTROY_VOLUMES": "DESTROY",
    "GROW_VOLUME": "GROW_VOLUME",
    "SHRINK_VOLUME": "SHRINK_VOLUME",
}


class OperatorCalls:
    """Dispatch of the operator API, and its operations on resources that nobody has."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        offers: Offers,
        operations: Operations,
        frameworks: Frameworks,
        draining: Draining,
        maintenance: Maintenance,
        shares: Shares,
        watchers: Watchers,
        endpoints: Endpoints,
    ) -> None:
        self._ledger = ledger
        self._offers = offers
        self._operations = operations
        self._frameworks = frameworks
        self._maintenance = maintenance
        self._watchers = watchers
        self._reads: dict[str, Callable[[Json], Json]] = {
            "GET_HEALTH": lambda _: {"healthy": True},
            "GET_FLAGS": lambda _: {"flags": [{"name": n, "value": v} for n, v in endpoints.flags().items()]},
            "GET_VERSION": lambda _: {"version_info": endpoints.version()},
            "GET_METRICS": lambda _: {"metrics": [{"name": n, "value": v} for n, v in endpoints.metrics().items()]},
            "GET_LOGGING_LEVEL": lambda _: {"level": 0},
            "GET_STATE": lambda _: views.get_state(ledger),
            "GET_AGENTS": lambda _: views.get_agents(ledger),
            "GET_FRAMEWORKS": lambda _: views.get_frameworks(ledger),
            "GET_EXECUTORS": lambda _: views.get_executors(ledger),
            "GET_OPERATIONS": lambda _: {"operations": self._all_operations()},
            "GET_TASKS": lambda _: views.get_tasks(ledger),
            "GET_ROLES": lambda _: {"roles": [views.role_message(ledger, r) for r in views.known_roles(ledger)]},
            "GET_WEIGHTS": lambda _: {"weight_infos": shares.weights()},
            "GET_MASTER": lambda _: endpoints.get_master(),
            "GET_QUOTA": lambda _: shares.quota_status(),
            "GET_MAINTENANCE_STATUS": lambda _: {"status": maintenance.status()},
            "GET_MAINTENANCE_SCHEDULE": lambda _: {"schedule": maintenance.schedule()},
        }
        self._acts: dict[str, Callable[[Json], Reply]] = {
            "TEARDOWN": self._teardown,
            "MARK_AGENT_GONE": draining.mark_gone,
            "DRAIN_AGENT": draining.drain,
            "DEACTIVATE_AGENT": draining.deactivate_agent,
            "REACTIVATE_AGENT": draining.reactivate,
            "UPDATE_QUOTA": shares.update_quota,
            "SET_QUOTA": shares.set_old_quota,
            "REMOVE_QUOTA": shares.remove_quota,
            "UPDATE_WEIGHTS": shares.update_weights,
            "UPDATE_MAINTENANCE_SCHEDULE": lambda body: maintenance.update(body["schedule"]),
            "START_MAINTENANCE": lambda body: maintenance.start(body.get("machines", [])),
            "STOP_MAINTENANCE": lambda body: maintenance.stop(body.get("machines", [])),
            "SET_LOGGING_LEVEL": lambda _: Reply(status=200),
        }

    def perform(self, call: Json) -> Reply | Stream:
        """One call that has passed the checks of its structure."""
        kind = call["type"]
        body = call.get(kind.lower(), {})
        if kind == "SUBSCRIBE":
            return self._watchers.subscribe()
        if kind in self._reads:
            return Reply(status=200, body={"type": kind, kind.lower(): self._reads[kind](body)})
        if kind in self._acts:
            return self._acts[kind](body)
        if kind in _OPERATIONS:
            return self._operate(_OPERATIONS[kind], body)
        return Reply(status=501, body="501 Not Implemented.")

    def _teardown(self, body: Json) -> Reply:
        framework = self._ledger.frameworks.get(body["framework_id"]["value"])
        if framework is None:
            return Reply(status=400, body="No framework found with specified ID")
        self._frameworks.remove(framework)
        return Reply(status=200)

    def _all_operations(self) -> list[Json]:
        return [
            {
                "info": operation.info,
                "uuid": {"value": operation.uuid},
                "agent_id": {"value": operation.agent_id},
                "latest_status": operation.latest,
                "statuses": operation.statuses,
                **({"framework_id": {"value": operation.framework_id}} if operation.framework_id else {}),
            }
            for agent in self._ledger.agents.values()
            for operation in agent.operations.values()
        ]

    # --- operations on resources ---------------------------------------------------------------------------------

    def _operate(self, kind: str, body: Json) -> Reply:
        ledger = self._ledger
        agent = ledger.agents.get(body["agent_id"]["value"])
        if agent is None:
            return Reply(status=400, body="No agent found with specified ID")
        operation: Json = {"type": kind, kind.lower(): {key: body[key] for key in body if key != "agent_id"}}
        problem = operation_rules.first_problem_of(operation)
        if problem is not None:
            return Reply(status=400, body=problem)
        operation[kind.lower()] = {key: _stacked(value) for key, value in operation[kind.lower()].items()}
        pool = ledger.allocator.total(agent.id)
        problem = operation_rules.problem(operation, agent, pool, None)
        if problem is not None:
            where = "" if kind in ("UNRESERVE", "DESTROY") else f" on agent {agent.description}"
            return Reply(status=400, body=f"Invalid {kind} operation{where}: {problem}")
        steps = conversions(operation)
        required = Resources.total(step.consumed for step in steps)
        recovered = Resources()
        for offer in list(agent.offers.values()):
            offered = offer.resources.allocated(None)
            if required - offered == required:
                continue
            recovered += offered
            required -= offered
            self._rescind_for_operator(offer.id)
            if not isinstance(apply(recovered, steps), Refused):
                break
        result = apply(ledger.allocator.available(agent.id), steps)
        if isinstance(result, Refused):
            return Reply(status=409, body=result.reason)
        ledger.allocator.convert_free(agent.id, steps)
        self._operations.start(operation, agent, None)
        return Reply(status=202)

    def _rescind_for_operator(self, offer_id: str) -> None:
        """As a rescind, but with the default filter, so that the rest is not offered to the same one at once."""
        ledger = self._ledger
        offer = ledger.offers[offer_id]
        framework = ledger.frameworks[offer.framework_id]
        ledger.tell(framework, {"type": "RESCIND", "rescind": {"offer_id": {"value": offer.id}}})
        self._offers.discard(offer, {})


def _stacked(value: object) -> object:
    if isinstance(value, list):
        return [stacked(item) for item in value]
    return stacked(value) if isinstance(value, dict) and "name" in value else value
