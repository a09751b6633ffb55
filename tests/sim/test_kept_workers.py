"""Workers that keep their resources and a volume, against the simulated master and agents."""

from __future__ import annotations

from dataclasses import replace

import pytest
from simulated_story import GIB, Story, agent, job_spec

from headgate.model.job import Keep, Workers
from headgate.model.operation import Hold
from headgate.model.resources import Resources

KEEP = Keep(volume_m=2 * GIB, path="state", abandon_after_s=60.0)


def test_resources_and_volume_are_reserved_with_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """RESERVE, CREATE and LAUNCH in one ACCEPT; both operations are followed to their ends."""
    story = Story(monkeypatch, [job_spec(keep=KEEP)], [agent(0)])
    story.until(lambda: len(story.running) == 1 and not story.ledger.operations)
    (record,) = story.ledger.reservations.values()
    assert record.hold is Hold.HELD
    assert record.resources == Resources(cpus_m=1000, mem_m=GIB, disk_m=3 * GIB)
    assert story.tasks[0].reservation == record.id == story.tasks[0].id
    reserved = story.reserved()["a0.example"]
    assert sorted((each["name"], each["scalar"]["value"]) for each in reserved) == [
        ("cpus", 1.0),
        ("disk", 1024.0),
        ("disk", 2048.0),
        ("mem", 1024.0),
    ]
    (volume,) = (each for each in reserved if "disk" in each)
    assert volume["disk"]["volume"] == {"container_path": "state", "mode": "RW"}
    assert volume["disk"]["persistence"]["id"] == record.id
    labels = {each["key"]: each["value"] for each in volume["reservations"][-1]["labels"]["labels"]}
    assert labels["headgate.framework"] == story.ledger.framework.framework_id
    assert (labels["headgate.job"], labels["headgate.worker"]) == ("job0", "0")


def test_a_worker_comes_back_to_what_is_reserved_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However its attempts end; no second reservation is made (marathon #3223, #3471: reservations not reused)."""
    story = Story(monkeypatch, [job_spec(keep=KEEP, workers=2)], [agent(number) for number in range(3)])
    story.until(lambda: len(story.running) == 2)
    homes = {task.worker: (task.agent_id, task.reservation) for task in story.tasks}
    for worker in story.world._containers.workers:
        worker.die(1)
    story.until(lambda: len(story.running) == 2 and all(task.attempt.attempt == 1 for task in story.tasks))
    assert {task.worker: (task.agent_id, task.reservation) for task in story.tasks} == homes
    assert story.labels() == {reservation for _, reservation in homes.values()} == set(story.ledger.reservations)


def test_a_worker_waits_for_its_agent_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room elsewhere is left alone while its data may come back."""
    story = Story(monkeypatch, [job_spec(keep=replace(KEEP, abandon_after_s=600.0))], [agent(0), agent(1)])
    story.until(lambda: len(story.running) == 1)
    (task,) = story.tasks
    address = story.address_of(task.hostname)
    story.town.stop_agent(address)
    story.until(lambda: not story.tasks, within=60.0)
    story.wait(20.0)
    waiting = story.scheduler.view.jobs[0].waiting
    assert waiting is not None
    assert f"reserved on {task.hostname}, which does not offer them now" in waiting.text
    assert "started elsewhere, without its data, after 600 s" in waiting.text
    story.town.continue_agent(address)
    story.until(lambda: [(each.agent_id, each.reservation) for each in story.running] == [(task.agent_id, task.id)])


def test_a_worker_whose_agent_stays_away_starts_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it had is given back as soon as the agent returns, though nothing else is wanted then.

    Source: MARATHON-7711: suppressing offers kept reservations from being freed.
    """
    story = Story(monkeypatch, [job_spec(keep=KEEP)], [agent(0), agent(1)])
    story.until(lambda: len(story.running) == 1)
    (task,) = story.tasks
    story.town.stop_agent(story.address_of(task.hostname))
    story.until(lambda: [each.hostname for each in story.running] not in ([], [task.hostname]), within=200.0)
    assert story.ledger.reservations[task.reservation].hold is Hold.FREEING
    story.wait(30.0)
    story.town.continue_agent(story.address_of(task.hostname))
    story.until(lambda: task.reservation not in story.ledger.reservations, within=120.0)
    story.until(lambda: story.flowing == set() and not story.ledger.operations, within=60.0)
    assert story.labels() == set(story.ledger.reservations) == {story.tasks[0].reservation}


def test_what_is_cancelled_or_not_wanted_any_more_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """First one of three workers, then all (marathon #4007, #5142: reservations leaked by suspended apps)."""
    story = Story(monkeypatch, [job_spec(keep=KEEP, workers=3)], [agent(0), agent(1)])
    story.until(lambda: len(story.running) == 3)
    story.world._people.scale(story.tasks[0].job, 2)
    story.until(lambda: len(story.labels()) == 2 and len(story.ledger.reservations) == 2)
    assert {each.worker for each in story.ledger.reservations.values()} == {0, 1}
    story.world._people.cancel(story.tasks[0].job)
    story.until(lambda: story.labels() == set() and not story.ledger.reservations and not story.ledger.operations)
    story.until(lambda: story.flowing == set())


def test_a_paused_job_finds_its_data_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is reserved stays so, and is used again."""
    story = Story(monkeypatch, [job_spec(keep=KEEP)], [agent(0), agent(1)])
    story.until(lambda: len(story.running) == 1)
    (task,) = story.tasks
    story.scheduler.pause(task.job)
    story.world._wake_leader()
    story.until(lambda: not story.tasks)
    story.wait(100.0)
    assert story.labels() == {task.reservation}
    story.scheduler.resume(task.job)
    story.world._wake_leader()
    story.until(lambda: [(each.agent_id, each.reservation) for each in story.running] == [(task.agent_id, task.id)])


def test_what_others_have_reserved_is_never_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of others, in the same role: not launched on, not given back; the job waits.

    Source: marathon #4137, #5142, mesos/kafka #145: two instances in one role destroyed each other's volumes.
    """
    for labels in ({"owner": "kafka"}, {"headgate.framework": "another", "headgate.reservation": "job0.1.0.0"}):
        with monkeypatch.context() as patched:
            story = Story(patched, [job_spec()], [agent(0, "cpus:2;mem:4096;disk:10000")])
            story.until(lambda story=story: len(story.running) == 1)  # type: ignore[misc]
            story.reserve("a0.example", labels, cpus=1.0, mem=1024.0)
            story.world._people.scale(story.tasks[0].job, 2)
            story.wait(60.0)
            assert len(story.tasks) == 1
            assert len(story.reserved()["a0.example"]) == 2


def test_a_reservation_of_ours_that_no_record_speaks_of_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever made the record disappear."""
    story = Story(monkeypatch, [job_spec(workers=2)], [agent(0, "cpus:2;mem:4096;disk:10000")])
    story.until(lambda: len(story.running) == 2)
    story.world._people.scale(story.tasks[0].job, 1)
    story.until(lambda: len(story.tasks) == 1)
    ours = {
        "headgate.framework": story.ledger.framework.framework_id,
        "headgate.reservation": "job0.1.7.3",
    }
    story.until(lambda: story.flowing == set())
    story.reserve("a0.example", ours, cpus=1.0, mem=1024.0)
    story.world._people.scale(story.tasks[0].job, 2)
    story.until(lambda: len(story.running) == 2)
    assert story.labels() == set()


def test_what_the_operator_has_reserved_for_the_role_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Static reservations, and dynamic ones without labels; reservations of ours are made of the rest."""
    resources = "cpus(web):1;mem(web):1024;disk(web):1024;cpus:1;mem:2048;disk:100000"
    story = Story(monkeypatch, [job_spec("job0"), job_spec("job1", keep=KEEP)], [agent(0, resources)])
    monkeypatch.undo()
    story.world._people.submit(job_spec("job1", keep=KEEP))
    story.until(lambda: len(story.running) == 2)
    assert len(story.labels()) == 1


@pytest.mark.parametrize("seed", range(1, 13))
def test_no_storm_leaks_a_reservation(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Under faults drawn from the seed; when all is well again, what is reserved is what is recorded and wanted."""
    spec = job_spec(keep=replace(KEEP, abandon_after_s=20.0), workers=Workers(min=1, max=3, initial=2))
    story = Story(monkeypatch, [spec], [agent(number) for number in range(3)], seed=seed, weights=None)
    story.world.run()
    story.until(lambda: story.labels() == story.kept, within=200.0)
    registered = {story.town.agent_id(address) for address in story.town.addresses}
    story.until(lambda: {each.agent_id for each in story.freeing} & registered == set(), within=200.0)
    assert {task.reservation for task in story.tasks if task.reservation} <= story.kept
    assert not story.ledger.operations
