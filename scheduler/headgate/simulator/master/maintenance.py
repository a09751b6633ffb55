"""Maintenance: the schedule, machines going down and up, and who has agreed.

A machine is `DRAINING` when it is in the schedule, `DOWN` after START_MAINTENANCE, else `UP`.
"""

from __future__ import annotations

import ipaddress
import json

from headgate.simulator.master.ledger import Ledger, nanoseconds
from headgate.simulator.master.offers import Offers, unavailability_of
from headgate.simulator.master.records import Agent
from headgate.simulator.master.removal import Removal
from headgate.simulator.messages import Json, Reply, ShutdownAgent

_DOWN = "Operator initiated 'Machine DOWN'"


class Maintenance:
    """The operator's maintenance windows."""

    def __init__(self, ledger: Ledger, offers: Offers, removal: Removal) -> None:
        self._ledger = ledger
        self._offers = offers
        self._removal = removal

    # --- the schedule --------------------------------------------------------------------------------------------

    def update(self, schedule: Json) -> Reply:
        """UPDATE_MAINTENANCE_SCHEDULE: the offers of every agent start anew, whether its window has changed or not."""
        windows = schedule.get("windows", [])
        problem = self._schedule_problem(windows)
        if problem is not None:
            return Reply(status=400, body=problem)
        ledger = self._ledger
        ledger.schedule = tuple(windows)
        for agent in list(ledger.agents.values()):
            self._set(agent, unavailability_of(ledger, agent))
        return Reply(status=200)

    def _set(self, agent: Agent, unavailability: Json | None) -> None:
        self._offers.withdraw_from(agent)
        self._ledger.consents.pop(agent.id, None)
        self._ledger.allocator.set_unavailability(agent.id, unavailability)

    def _schedule_problem(self, windows: list[Json]) -> str | None:
        seen: set[tuple[str, str]] = set()
        for window in windows:
            machines = window.get("machine_ids", [])
            if not machines:
                return "List of machines in the maintenance window is empty"
            if window["unavailability"].get("duration", {}).get("nanoseconds", 0) < 0:
                return "Unavailability 'duration' is negative"
            problem = _machines_problem(machines, seen)
            if problem is not None:
                return problem
        for hostname, ip in sorted(self._ledger.machines_down):
            if (hostname, ip) not in seen:
                printed = _printed({"hostname": hostname, "ip": ip})
                return f"Machine '{printed}' is deactivated and cannot be removed from the schedule"
        return None

    def schedule(self) -> Json:
        """GET_MAINTENANCE_SCHEDULE."""
        return {"windows": list(self._ledger.schedule)} if self._ledger.schedule else {}

    def status(self) -> Json:
        """GET_MAINTENANCE_STATUS: draining machines with the answers to inverse offers, and those that are down."""
        ledger = self._ledger
        draining: list[Json] = []
        down: list[Json] = []
        for machine in self._scheduled():
            key = _key(machine)
            if key in ledger.machines_down:
                down.append(machine)
                continue
            entry: Json = {"id": machine}
            statuses = [
                {
                    "status": status,
                    "framework_id": {"value": framework_id},
                    "timestamp": nanoseconds(at),
                }
                for agent in ledger.agents.values()
                if agent.machine == key
                for framework_id, (status, at) in ledger.consents.get(agent.id, {}).items()
            ]
            draining.append({**entry, "statuses": statuses} if statuses else entry)
        found = {"draining_machines": draining, "down_machines": down}
        return {name: machines for name, machines in found.items() if machines}

    def _scheduled(self) -> list[Json]:
        return [machine for window in self._ledger.schedule for machine in window["machine_ids"]]

    # --- machines ------------------------------------------------------------------------------------------------

    def start(self, machines: list[Json]) -> Reply:
        """START_MAINTENANCE: agents of these machines are shut down and their tasks lost."""
        problem = self._transition_problem(machines, down=False)
        if problem is not None:
            return Reply(status=400, body=problem)
        ledger = self._ledger
        keys = {_key(machine) for machine in machines}
        for agent in [agent for agent in ledger.agents.values() if agent.machine in keys]:
            ledger.command(agent, ShutdownAgent(message=_DOWN))
            self._removal.remove(agent, _DOWN)
        ledger.machines_down |= keys
        return Reply(status=200)

    def stop(self, machines: list[Json]) -> Reply:
        """STOP_MAINTENANCE: the machines leave the schedule; their agents may come again."""
        problem = self._transition_problem(machines, down=True)
        if problem is not None:
            return Reply(status=400, body=problem)
        ledger = self._ledger
        keys = {_key(machine) for machine in machines}
        ledger.machines_down -= keys
        kept: list[Json] = []
        for window in ledger.schedule:
            left = [machine for machine in window["machine_ids"] if _key(machine) not in keys]
            if left:
                kept.append({**window, "machine_ids": left})
        ledger.schedule = tuple(kept)
        return Reply(status=200)

    def _transition_problem(self, machines: list[Json], *, down: bool) -> str | None:
        if not machines:
            return "List of machines is empty"
        problem = _machines_problem(machines, set())
        if problem is not None:
            return problem
        scheduled = {_key(machine) for machine in self._scheduled()}
        for machine in machines:
            key = _key(machine)
            if key not in scheduled:
                return f"Machine '{_printed(machine)}' is not part of a maintenance schedule"
            if (key in self._ledger.machines_down) is not down:
                wanted = "DOWN mode and cannot be brought up" if down else "DRAINING mode and cannot be brought down"
                return f"Machine '{_printed(machine)}' is not in {wanted}"
        return None


def _key(machine: Json) -> tuple[str, str]:
    return machine.get("hostname", "").lower(), machine.get("ip", "")


def _printed(machine: Json) -> str:
    return json.dumps(machine, sort_keys=True, separators=(",", ":"))


def _machines_problem(machines: list[Json], seen: set[tuple[str, str]]) -> str | None:
    for machine in machines:
        key = _key(machine)
        if not any(key):
            return "Both 'hostname' and 'ip' for a machine are empty"
        if key[1]:
            try:
                ipaddress.IPv4Address(key[1])
            except ValueError:
                return f"Failed to parse IP '{key[1]}'"
        if key in seen:
            return f"Machine '{_printed(machine)}' appears more than once in the schedule"
        seen.add(key)
    return None
