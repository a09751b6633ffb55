"""The one place that decides whether offers of a role should flow: REVIVE or SUPPRESS, or neither.

Suppressed when nothing is wanted, revived when something is.  Suppression is believed until an offer proves otherwise;
a revival is repeated while something is wanted and nothing comes, and sent anew for every new kind of need, because
filters set before it may hide the very offer that fits.
"""

from __future__ import annotations

from headgate.model.plan import Flow
from headgate.model.settings import Patience
from headgate.model.snapshot import RoleFlow


def flow_step(
    role: str,
    wanted: frozenset[str],
    flow: RoleFlow,
    again_s: float,
    patience: Patience,
    now: float,
    due: list[float],
) -> Flow | None:
    """What to send for one role, if anything; `wanted` are the needs that no offer in hand meets.

    While no offer comes a revival is repeated after `again_s`.
    """
    reason = _reason(wanted, flow, again_s, now, due)
    if reason is None:
        return None
    allowed_at = 0.0 if flow.changed_at is None else flow.changed_at + patience.revive_s
    if allowed_at > now:
        due.append(allowed_at)
        return None
    return Flow(role=role, wanted=wanted, reason=reason)


def _reason(wanted: frozenset[str], flow: RoleFlow, again_s: float, now: float, due: list[float]) -> str | None:
    if not wanted:
        return None if flow.suppressed else "nothing is wanted"
    if flow.suppressed:
        return f"wanted again: {_some(wanted)}"
    if wanted - flow.wanted:
        return f"newly wanted: {_some(wanted - flow.wanted)}"
    again_at = max(flow.changed_at or 0.0, flow.offered_at or 0.0) + again_s
    if again_at > now:
        due.append(again_at)
        return None
    return f"still wanted, and no offer for {again_s:.0f} s: {_some(wanted)}"


def _some(needs: frozenset[str]) -> str:
    return ", ".join(sorted(needs)[:3]) + (" …" if len(needs) > 3 else "")
