"""How many launches go out at once: no more than are let on their way at a time.

Scaling to thousands in one stroke overruns image registries, agents and the master's update streams; whoever wants that
many had to ramp up from outside (marathon #4797, #5285).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headgate.core.diff import Difference
from headgate.core.ledger import Ledger
from headgate.core.placing.gang import is_gang
from headgate.model.ids import JobName
from headgate.model.task import Stage

ON_THEIR_WAY = (Stage.LAUNCHING, Stage.STARTING)


def ramped(ledger: Ledger, differences: Mapping[JobName, Difference], most: int) -> dict[JobName, Difference]:
    """The jobs' differences with as many slots to start as there is room for; the rest is `held`.

    The room is shared evenly, and while there is any each job may start one: what no agent takes must not keep the
    others waiting.  A gang starts whole.
    """
    room = most - sum(1 for task in ledger.tasks.values() if task.stage in ON_THEIR_WAY)
    wanting = sum(1 for each in differences.values() if each.start)
    share = max(1, room // wanting) if room > 0 and wanting else 0
    return {
        name: replace(each, start=each.start[:share], held=each.start[share:])
        if len(each.start) > share and not (share and is_gang(ledger, name))
        else each
        for name, each in differences.items()
    }
