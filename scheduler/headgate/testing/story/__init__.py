"""Stories: what happens to a cluster and what is expected of a framework, in a dozen lines, told on a simulated or a
real Mesos.

`script` has the language's verbs `send`, `expect` and `after`, `acts` the things to send, `expectations` what to
expect; `virtual_stage` tells stories of Headgate in virtual time, `simulated_stage` those of any framework over HTTP,
`real_stage` the same ones on a real Mesos.  `docs/testing.md` shows them.
"""

from __future__ import annotations

from headgate.testing.story.acts import (
    agent,
    agent_back,
    agent_cut_off,
    agent_dies,
    agent_gone,
    agent_lost,
    agent_returns,
    cancelled,
    deactivated,
    drained,
    framework,
    framework_ends,
    job,
    maintenance,
    master_fails_over,
    quota,
    reactivated,
    scaled,
    scheduler_dies,
    status,
    stream_breaks,
    task_dies,
    worker,
)
from headgate.testing.story.expectations import (
    acknowledged,
    declined,
    job_is,
    job_waits,
    killed,
    launched,
    reconciled,
    registered,
    revived,
    suppressed,
    task_is,
)
from headgate.testing.story.real_stage import RealStage
from headgate.testing.story.script import Story, StoryFailed, Telling
from headgate.testing.story.simulated_stage import SimulatedStage
from headgate.testing.story.stage import CannotDo, Stage, StageFailed
from headgate.testing.story.virtual_stage import VirtualStage

__all__ = [
    "CannotDo",
    "RealStage",
    "SimulatedStage",
    "Stage",
    "StageFailed",
    "Story",
    "StoryFailed",
    "Telling",
    "VirtualStage",
    "acknowledged",
    "agent",
    "agent_back",
    "agent_cut_off",
    "agent_dies",
    "agent_gone",
    "agent_lost",
    "agent_returns",
    "cancelled",
    "deactivated",
    "declined",
    "drained",
    "framework",
    "framework_ends",
    "job",
    "job_is",
    "job_waits",
    "killed",
    "launched",
    "maintenance",
    "master_fails_over",
    "quota",
    "reactivated",
    "reconciled",
    "registered",
    "revived",
    "scaled",
    "scheduler_dies",
    "status",
    "stream_breaks",
    "suppressed",
    "task_dies",
    "task_is",
    "worker",
]
