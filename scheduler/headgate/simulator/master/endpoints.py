"""The GET endpoints of a master."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from headgate.simulator.master import state_view
from headgate.simulator.master.ledger import Ledger
from headgate.simulator.master.maintenance import Maintenance
from headgate.simulator.master.quota import Shares
from headgate.simulator.messages import Json, Reply
from headgate.simulator.resources import number

NOT_FOUND = Reply(status=404, body="404 Not Found.")
_TASK_LIMIT = 100
_LIVE = ("staging", "starting", "running", "killing", "unreachable")
_COUNTED = (
    "tasks_finished",
    "tasks_failed",
    "tasks_killed",
    "tasks_lost",
    "tasks_error",
    "tasks_dropped",
    "tasks_gone",
    "tasks_gone_by_operator",
    "messages_register_framework",
    "messages_reregister_framework",
    "messages_unregister_framework",
    "messages_kill_task",
    "messages_status_update",
    "messages_status_update_acknowledgement",
    "messages_launch_tasks",
    "messages_decline_offers",
    "messages_revive_offers",
    "messages_suppress_offers",
    "messages_reconcile_tasks",
    "messages_reconcile_operations",
    "messages_resource_request",
    "messages_framework_to_executor",
    "messages_executor_to_framework",
    "messages_exited_executor",
    "messages_register_slave",
    "messages_reregister_slave",
    "messages_unregister_slave",
    "valid_status_updates",
    "invalid_status_updates",
    "valid_status_update_acknowledgements",
    "invalid_status_update_acknowledgements",
    "slave_registrations",
    "slave_reregistrations",
    "slave_removals",
)


class Endpoints:
    """Read-only pages, with and without `/master` in front."""

    def __init__(self, ledger: Ledger, maintenance: Maintenance, shares: Shares) -> None:
        self._ledger = ledger
        self._pages: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "/version": lambda _: self.version(),
            "/flags": lambda _: {"flags": self.flags()},
            "/metrics/snapshot": lambda _: self.metrics(),
            "/state": lambda _: state_view.state_view(ledger, self.version(), self.flags()),
            "/state-summary": lambda _: state_view.summary_view(ledger),
            "/slaves": lambda query: state_view.agents_view(ledger, query.get("slave_id")),
            "/frameworks": lambda query: state_view.frameworks_view(ledger, query.get("framework_id")),
            "/tasks": self._tasks,
            "/roles": lambda _: state_view.roles_view(ledger),
            "/weights": lambda _: shares.weights(),
            "/quota": lambda _: shares.quota_status().get("status", {}),
            "/maintenance/schedule": lambda _: maintenance.schedule(),
            "/maintenance/status": lambda _: maintenance.status(),
        }

    def get(self, path: str, query: Mapping[str, str]) -> Reply:
        """The page at a path."""
        bare = path[len("/master") :] if path.startswith("/master/") else path
        settings = self._ledger.settings
        if bare == "/health":
            return Reply(status=200)
        if bare == "/redirect":
            return Reply(status=307, headers={"Location": f"//{settings.hostname}:{settings.port}"})
        page = self._pages.get(bare)
        return NOT_FOUND if page is None else Reply(status=200, body=page(query))

    def _tasks(self, query: Mapping[str, str]) -> Json:
        return state_view.tasks_view(
            self._ledger,
            limit=_whole(query.get("limit"), _TASK_LIMIT),
            offset=_whole(query.get("offset"), 0),
            ascending=query.get("order") == "asc",
            framework_id=query.get("framework_id"),
            task_id=query.get("task_id"),
        )

    def version(self) -> Json:
        """`/version`; the build is said to be of the epoch, as nothing was built."""
        return {
            "version": self._ledger.settings.version,
            "build_date": "1970-01-01 00:00:00",
            "build_time": 0.0,
            "build_user": "headgate",
        }

    def flags(self) -> dict[str, str]:
        """The flags that the simulation honours, as texts."""
        settings = self._ledger.settings
        alternatives = "|".join(
            ";".join(f"{name}:{number(amount):g}" for name, amount in wanted.items())
            for wanted in settings.min_allocatable
        )
        return {
            "agent_ping_timeout": f"{settings.agent_ping_timeout:g}secs",
            "agent_reregister_timeout": f"{settings.agent_reregister_timeout / 60:g}mins",
            "allocation_interval": f"{settings.allocation_interval:g}secs",
            "filter_gpu_resources": str(settings.filter_gpu_resources).lower(),
            "hostname": settings.hostname,
            "ip": settings.ip,
            "max_agent_ping_timeouts": str(settings.max_agent_ping_timeouts),
            "max_completed_frameworks": str(settings.max_completed_frameworks),
            "min_allocatable_resources": alternatives,
            "port": str(settings.port),
        }

    def get_master(self) -> Json:
        """GET_MASTER."""
        ledger = self._ledger
        return {
            "master_info": ledger.master_info(),
            "start_time": ledger.started_at,
            "elected_time": ledger.started_at,
        }

    def metrics(self) -> dict[str, float]:
        """`/metrics/snapshot`: flat names, all values numbers."""
        ledger = self._ledger
        agents, frameworks = list(ledger.agents.values()), list(ledger.frameworks.values())
        states = Counter(task.state for framework in frameworks for task in framework.tasks.values())
        states["TASK_UNREACHABLE"] = sum(len(framework.unreachable_tasks) for framework in frameworks)
        found: dict[str, float] = {
            "master/elected": 1.0,
            "master/uptime_secs": max(0.0, ledger.now - ledger.started_at),
            "master/outstanding_offers": len(ledger.offers),
            "master/operator_event_stream_subscribers": len(ledger.watchers),
            "master/slaves_unreachable": len(ledger.unreachable),
            "allocator/mesos/allocation_runs": ledger.allocator.runs,
        }
        for kind, members in (("slaves", agents), ("frameworks", frameworks)):
            connected = sum(member.connected for member in members)
            active = sum(member.active for member in members)
            found[f"master/{kind}_connected"] = connected
            found[f"master/{kind}_disconnected"] = len(members) - connected
            found[f"master/{kind}_active"] = active
            found[f"master/{kind}_inactive"] = len(members) - active
        found |= {f"master/tasks_{state}": states[f"TASK_{state.upper()}"] for state in _LIVE}
        found |= {f"master/{name}": ledger.counters[name] for name in _COUNTED}
        found |= self._resource_metrics()
        return {name: float(value) for name, value in found.items()}

    def _resource_metrics(self) -> dict[str, float]:
        ledger = self._ledger
        totals = ledger.allocator.cluster_totals()
        used: Counter[str] = Counter()
        for agent in ledger.agents.values():
            for pool in agent.used().values():
                used.update(pool.scalars())
        found: dict[str, float] = {}
        for name in ("cpus", "gpus", "mem", "disk"):
            total = totals.get(name, 0)
            found[f"master/{name}_total"] = number(total)
            found[f"master/{name}_used"] = number(used[name])
            found[f"master/{name}_percent"] = used[name] / total if total else 0.0
        return found


def _whole(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() else default
