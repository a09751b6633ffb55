"""`/metrics/snapshot` of an agent: flat names, all values numbers.

Source: slave/metrics.cpp; of its names those that say something here.
"""

from __future__ import annotations

from collections import Counter

from headgate.simulator.agent.executor_machine import ExecutorState
from headgate.simulator.agent.state import AgentState, Phase
from headgate.simulator.resources import Resources

_RESOURCES = ("cpus", "mem", "disk", "gpus")
_LIVE_TASKS = ("staging", "starting", "running", "killing")
_LIVE_EXECUTORS = (ExecutorState.REGISTERING, ExecutorState.RUNNING, ExecutorState.TERMINATING)
ENDED_TASKS = ("finished", "failed", "killed", "lost", "gone")
"""The ends of tasks that are counted."""


def snapshot(state: AgentState, *, now: float) -> dict[str, float]:
    """Gauges of this moment and counters since the start."""
    tasks: Counter[str] = Counter()
    executors: Counter[ExecutorState] = Counter()
    for _, executor in state.executors():
        executors[executor.state] += 1
        tasks["TASK_STAGING"] += len(executor.queued)
        tasks.update(task.state for task in executor.launched.values())
    found = {
        "slave/uptime_secs": now - state.started_at,
        "slave/registered": float(state.phase is Phase.RUNNING),
        "slave/frameworks_active": float(len(state.frameworks)),
        "slave/executors_terminated": float(state.counters["executors_terminated"]),
        "slave/container_launch_errors": float(state.counters["container_launch_errors"]),
    }
    found |= {f"slave/tasks_{name}": float(tasks[f"TASK_{name.upper()}"]) for name in _LIVE_TASKS}
    found |= {f"slave/tasks_{name}": float(state.counters[f"TASK_{name.upper()}"]) for name in ENDED_TASKS}
    found |= {f"slave/executors_{kind.name.lower()}": float(executors[kind]) for kind in _LIVE_EXECUTORS}
    return found | _resources(state)


def _resources(state: AgentState) -> dict[str, float]:
    used = Resources.total(executor.allocated() for _, executor in state.executors())
    found: dict[str, float] = {}
    for name in _RESOURCES:
        whole, part = state.total.scalar(name), used.scalar(name)
        found[f"slave/{name}_total"] = whole
        found[f"slave/{name}_used"] = part
        found[f"slave/{name}_percent"] = part / whole if whole else 0.0
    return found
