"""Task states as v1 names them."""

from __future__ import annotations

from headgate.simulator.messages import Json

TERMINAL = frozenset(
    {
        "TASK_FINISHED",
        "TASK_FAILED",
        "TASK_KILLED",
        "TASK_ERROR",
        "TASK_LOST",
        "TASK_DROPPED",
        "TASK_GONE",
        "TASK_GONE_BY_OPERATOR",
    }
)


def has_capability(framework: Json, name: str) -> bool:
    """Whether a FrameworkInfo declares a capability."""
    return any(capability.get("type") == name for capability in framework.get("capabilities", ()))


def dropped(framework: Json) -> str:
    """How a task that never reached its executor ends: TASK_DROPPED, or TASK_LOST without PARTITION_AWARE."""
    return "TASK_DROPPED" if has_capability(framework, "PARTITION_AWARE") else "TASK_LOST"


def gone(framework: Json) -> str:
    """How a task ends that was here and is no more: TASK_GONE, or TASK_LOST without PARTITION_AWARE."""
    return "TASK_GONE" if has_capability(framework, "PARTITION_AWARE") else "TASK_LOST"
