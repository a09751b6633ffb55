"""DRAIN_AGENT on the agent: kill what runs, take nothing new, until no framework and no operation is left.

Source: `Slave::drain`, `Slave::updateDrainStatus`.
"""

from __future__ import annotations

from headgate.simulator.agent import durations, killing
from headgate.simulator.agent.state import AgentState
from headgate.simulator.messages import Json


def drain(state: AgentState, config: Json, *, now: float) -> None:
    """Begin to drain; with nothing to drain it is over before it began.  Safe to repeat."""
    if not state.frameworks and not state.operations:
        return
    state.drain_config = config
    state.drain_started_at = now
    for framework, executor in state.executors():
        if state.running_framework(framework.framework_id) is not framework:
            continue
        policies = {task_id: task.json.get("kill_policy") for task_id, task in executor.launched.items()}
        policies |= {task_id: info.get("kill_policy") for task_id, info in executor.queued.items()}
        for task_id, own in policies.items():
            if task_id in executor.launched or task_id in executor.queued:
                killing.kill(state, framework, executor, task_id, _shorter(config, own), now=now)


def _shorter(config: Json, own: Json | None) -> Json | None:
    """The kill policy that keeps within the drain's longest grace period; None if the task's own does."""
    if "max_grace_period" not in config:
        return None
    limit_s = durations.seconds(config["max_grace_period"])
    own_s = durations.grace_period_s(own)
    if own_s is not None and own_s <= limit_s:
        return None
    return {"grace_period": {"nanoseconds": round(limit_s * 1e9)}}
