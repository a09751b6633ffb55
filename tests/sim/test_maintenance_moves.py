"""Workers leave agents that are to be maintained, before that begins, and inverse offers are answered accordingly."""

from __future__ import annotations

from typing import Any

import pytest
from simulated_story import GIB, Story, agent, job_spec

from headgate.model.job import Keep, Operator, Placement, Upgrade
from headgate.model.plan import Answer

HOUR = 3600.0


def announce(story: Story, hostname: str, *, in_s: float, for_s: float = HOUR) -> None:
    """A maintenance window of one agent."""
    address = story.address_of(hostname)
    assert story.world._operators.plan_maintenance(address, in_s=in_s, for_s=for_s)


def consents(story: Story) -> list[str]:
    """What we have answered, as the master has recorded it."""
    status = story.operate("GET_MAINTENANCE_STATUS")["get_maintenance_status"]["status"]
    return [each["status"] for machine in status.get("draining_machines", ()) for each in machine.get("statuses", ())]


def answered(monkeypatch: pytest.MonkeyPatch, story: Story) -> list[Answer]:
    """The answers as they are given from now on."""
    found: list[Answer] = []
    world = story.scheduler._world
    performed = world.performed

    def watch(step: Any, now: float) -> None:
        if isinstance(step, Answer):
            found.append(step)
        performed(step, now)

    monkeypatch.setattr(world, "performed", watch)
    return found


def test_workers_leave_before_the_window_and_another_takes_over_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time; no moment without as many workers as wished, and every shard goes on (Aurora alone did this)."""
    story = Story(monkeypatch, [job_spec(workers=2)], [agent(0)])
    story.until(lambda: len(story.running) == 2)
    story.add_agent(agent(1))
    begun = story.now
    announce(story, "a0.example", in_s=1800.0)
    least, most = 9, 0
    while [task.hostname for task in story.tasks] != ["a1.example"] * 2:
        assert story.now - begun < 300.0
        story.wait(0.5)
        least, most = min(least, len(story.running)), max(most, len(story.tasks))
    assert (least, most) == (2, 3)
    assert all(task.attempt.attempt == 1 and task.moving_since is None for task in story.tasks)
    story.until(lambda: consents(story) in (["ACCEPT"], []))
    history = [note.text for note in story.scheduler.view.jobs[0].history]
    assert any("is to leave a0.example, whose maintenance begins in" in text for text in history)
    assert any(
        "ended: its agent is to be maintained, and another attempt has taken its place" in text for text in history
    )


def test_nobody_leaves_for_a_window_that_is_far_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """But consent is given, and they leave an hour before."""
    story = Story(monkeypatch, [job_spec()], [agent(0), agent(1)])
    story.until(lambda: len(story.running) == 1)
    (task,) = story.tasks
    announce(story, task.hostname, in_s=HOUR + 120.0)
    story.until(lambda: consents(story) == ["ACCEPT"])
    story.wait(60.0)
    assert story.tasks[0].id == task.id
    story.until(lambda: [each.hostname for each in story.tasks] not in ([], [task.hostname]), within=200.0)


@pytest.mark.parametrize(
    ("spec", "in_s", "reason"),
    [
        (job_spec(), 60.0, "it takes 120 s until a worker of job0 can have left, and maintenance begins sooner"),
        (
            job_spec(placement=(Placement(attribute="hostname", operator=Operator.IS, value="a0.example"),)),
            HOUR,
            "no other agent has room for a worker of job0",
        ),
        (job_spec(keep=Keep(volume_m=GIB, path="state")), HOUR, "workers of job0 keep their resources there"),
    ],
)
def test_when_it_cannot_be_done_the_inverse_offer_is_declined(
    monkeypatch: pytest.MonkeyPatch, spec: Any, in_s: float, reason: str
) -> None:
    """With the reason.  Work goes on, and what little can be done is done all the same."""
    story = Story(monkeypatch, [spec], [agent(0), agent(1)])
    story.until(lambda: len(story.running) == 1)
    (task,) = story.tasks
    answers = answered(monkeypatch, story)
    announce(story, task.hostname, in_s=in_s)
    story.until(lambda: consents(story) == ["DECLINE"])
    assert not answers[0].agree
    assert answers[0].reason.startswith(reason)
    story.wait(20.0)
    assert len(story.running) == 1


def test_without_room_elsewhere_nobody_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker works on until there is, or until its agent is taken down; then it is replaced at once."""
    story = Story(monkeypatch, [job_spec()], [agent(0)])
    story.until(lambda: len(story.running) == 1)
    announce(story, "a0.example", in_s=600.0)
    story.until(lambda: consents(story) == ["DECLINE"])
    story.wait(100.0)
    assert [task.hostname for task in story.running] == ["a0.example"]
    story.add_agent(agent(1))
    story.until(lambda: [task.hostname for task in story.tasks] == ["a1.example"])


def test_a_window_that_is_called_off_moves_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those marked stay where they are."""
    story = Story(monkeypatch, [job_spec()], [agent(0)])
    story.until(lambda: len(story.running) == 1)
    announce(story, "a0.example", in_s=600.0)
    story.until(lambda: story.tasks[0].moving_since is not None)
    story.operate("UPDATE_MAINTENANCE_SCHEDULE", schedule={"windows": []})
    story.until(lambda: story.tasks[0].moving_since is None)
    assert [task.attempt.attempt for task in story.tasks] == [0]


def test_a_drained_agent_costs_no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """DRAIN_AGENT ends the tasks; they start elsewhere at once, and the agent is not blamed."""
    story = Story(monkeypatch, [job_spec(workers=2, upgrade=Upgrade(max_unavailable=2))], [agent(0), agent(1)])
    story.until(lambda: len(story.running) == 2)
    home = story.tasks[0].hostname
    story.world._operators.drain(story.address_of(home))
    story.until(lambda: len(story.running) == 2 and home not in [task.hostname for task in story.tasks])
    assert all(slot.failures == 0 for slot in story.ledger.workers.values())
    assert not any(record.failures for record in story.ledger.agents.values())
