"""Durations: from v1 JSON to seconds, and in the words of Mesos."""

from __future__ import annotations

from headgate.simulator.messages import Json

_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "secs": 1_000_000_000,
    "mins": 60_000_000_000,
    "hrs": 3_600_000_000_000,
    "days": 86_400_000_000_000,
    "weeks": 604_800_000_000_000,
}


def seconds(duration: Json) -> float:
    """Seconds of a `{nanoseconds}` or a `{seconds, nanos}` object."""
    if "nanoseconds" in duration:
        return int(duration["nanoseconds"]) / 1e9
    return int(duration.get("seconds", 0)) + int(duration.get("nanos", 0)) / 1e9


def grace_period_s(policy: Json | None) -> float | None:
    """The grace period of a KillPolicy, if it has one."""
    if policy is None or "grace_period" not in policy:
        return None
    return seconds(policy["grace_period"])


def text(duration_s: float) -> str:
    """`5secs`, `15mins`, `2500ms`: the largest unit that fits, or the one below it if only that divides evenly."""
    total = round(abs(duration_s) * 1e9)
    sign = "-" if duration_s < 0 else ""
    units = list(_NANOSECONDS.items())
    place = max((index for index, (_, size) in enumerate(units) if size <= total), default=0)
    name, size = units[place]
    if place > 0 and total % size != 0 and total % units[place - 1][1] == 0:
        name, size = units[place - 1]
    return f"{sign}{total / size:.15g}{name}"
