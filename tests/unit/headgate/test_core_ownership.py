"""The shard table over time: versions, epochs, seasons of balance."""

from dataclasses import replace

from paper_cluster import job_spec

from headgate.core.ledger import Ledger
from headgate.core.ownership import assign, next_epoch, orphan, renew, unconfirmed
from headgate.model.ids import AgentId, Attempt, JobName, ShardId, TaskId
from headgate.model.measurements import Heard
from headgate.model.record import JobRecord, JobState, Records
from headgate.model.resources import Resources
from headgate.model.settings import Patience
from headgate.model.shard import ShardRecord
from headgate.model.task import Stage, TaskRecord
from millstream.contract.report import Report, ShardReport, ShardState

JOB = JobName("delays")
NOW = 1000.0
PATIENCE = Patience()


def task(worker: int, stage: Stage = Stage.RUNNING) -> TaskRecord:
    return TaskRecord(
        attempt=Attempt(job=JOB, submission=2, worker=worker, attempt=0),
        agent_id=AgentId("a"),
        hostname="a",
        resources=Resources(),
        stage=stage,
        launched_at=NOW - 100,
        since=NOW - 100,
        running_at=NOW - 100,
        assignment_version=3,
    )


def ledger(owners: dict[str, int | None], *tasks: TaskRecord, workers: int = 2) -> Ledger:
    """A running job whose shards belong to workers by number."""
    job = JobRecord(
        spec=job_spec(), submission=2, submitted_at=0.0, state=JobState.RUNNING, workers=workers, assignment_version=3
    )
    shards = tuple(
        ShardRecord(
            id=ShardId(name),
            epoch=0 if owner is None else 2_000_001,
            owner=None if owner is None else TaskId(f"delays.2.{owner}.0"),
            assigned_at=NOW - 50,
        )
        for name, owner in owners.items()
    )
    return Ledger(Records(jobs={JOB: job}, tasks={each.id: each for each in tasks}, shards={JOB: shards}))


def heard(book: Ledger, *, version: int = 3) -> dict[TaskId, Heard]:
    """Every task reports what the table says."""
    return {
        each.id: Heard(
            report=Report(
                job=JOB,
                worker=each.worker,
                task_id=each.id,
                sequence=1,
                assignment_version=version,
                revision="ab",
                owned=tuple(
                    ShardReport(shard=shard.id, epoch=shard.epoch, state=ShardState.RUNNING)
                    for shard in book.shards(JOB).values()
                    if shard.owner == each.id
                ),
            ),
            at=NOW,
        )
        for each in book.tasks.values()
    }


def settle(book: Ledger, demands: dict[str, float] | None = None, now: float = NOW) -> list[float]:
    due: list[float] = []
    weights = {ShardId(name): demand for name, demand in (demands or {}).items()}
    assign(book, book.jobs[JOB], heard(book), weights, PATIENCE, now, due)
    return due


def test_given_shards_have_new_epochs_and_their_owner_a_new_version() -> None:
    """Drawn from the job's counter; who is not concerned keeps the version it has."""
    book = ledger({"s0": 0, "s1": 0, "s2": None}, task(0), task(1))
    settle(book)
    table = book.shards(JOB)
    assert (table[ShardId("s2")].owner, table[ShardId("s2")].epoch) == ("delays.2.1.0", 2_000_001)
    assert table[ShardId("s2")].assigned_at == NOW
    assert book.jobs[JOB].assignment_version == 4
    assert {each.worker: each.assignment_version for each in book.tasks.values()} == {0: 3, 1: 4}


def test_balance_has_its_season() -> None:
    """One round of moves, and half a minute of peace, whatever the measurements say."""
    book = ledger({"s0": 0, "s1": 0, "s2": 1, "s3": 1}, task(0), task(1))
    demands = {"s0": 0.8, "s1": 0.8, "s2": 0.05, "s3": 0.05}
    settle(book, demands)
    moving = [shard for shard in book.shards(JOB).values() if shard.releasing is not None]
    assert len(moving) == 1
    assert moving[0].releasing == 4
    assert book.jobs[JOB].moves == 1
    assert book.jobs[JOB].rebalanced_at == NOW
    book = ledger({"s0": 0, "s1": 0, "s2": 1, "s3": 1}, task(0), task(1))
    book.jobs[JOB] = replace(book.jobs[JOB], rebalanced_at=NOW - 29)
    settle(book, demands)
    assert all(shard.releasing is None for shard in book.shards(JOB).values())
    settle(book, demands, NOW + 1)
    assert sum(shard.releasing is not None for shard in book.shards(JOB).values()) == 1


def test_shards_of_the_dead_are_nobodys() -> None:
    """Also of those being killed; not of those out of reach for now."""
    book = ledger(
        {"s0": 0, "s1": 1, "s2": 2, "s3": 3}, task(0), task(1, Stage.KILLING), task(2, Stage.UNREACHABLE), workers=4
    )
    orphan(book, JOB)
    owners = {name: shard.owner for name, shard in book.shards(JOB).items()}
    assert owners == {"s0": "delays.2.0.0", "s1": None, "s2": "delays.2.2.0", "s3": None}


def test_a_job_that_leaves_gives_nothing_out() -> None:
    """Its shards rest."""
    book = ledger({"s0": None}, task(0))
    book.jobs[JOB] = replace(book.jobs[JOB], state=JobState.CANCELLING)
    settle(book)
    assert book.shards(JOB)[ShardId("s0")].owner is None


def test_a_finished_shard_is_settled_whoever_had_it() -> None:
    """It needs no owner, and holds nobody up."""
    book = ledger({"s0": None, "s1": 0}, task(0))
    book.put_shards(JOB, [replace(book.shards(JOB)[ShardId("s0")], finished=True)])
    settle(book)
    assert book.shards(JOB)[ShardId("s0")].owner is None
    assert unconfirmed(book.shards(JOB).values(), heard(book)) == []


def test_confirmed_is_what_the_owner_reports_at_its_epoch() -> None:
    """Another epoch, no report, on the move, nobody: all of these are not."""
    book = ledger({"s0": 0, "s1": 0, "s2": None, "s3": 1}, task(0))
    told = heard(book)
    book.put_shards(JOB, [replace(book.shards(JOB)[ShardId("s1")], epoch=2_000_009)])
    assert [shard.id for shard in unconfirmed(book.shards(JOB).values(), told)] == ["s1", "s2", "s3"]
    book.put_shards(JOB, [replace(book.shards(JOB)[ShardId("s0")], releasing=4)])
    assert "s0" in {shard.id for shard in unconfirmed(book.shards(JOB).values(), told)}


def test_epochs_grow_within_and_across_submissions() -> None:
    """Millions apart, so that the last of one never reaches the first of the next."""
    job = JobRecord(spec=job_spec(), submission=3, submitted_at=0.0)
    first = ShardRecord(id=ShardId("s"))
    assert next_epoch(job, first) == 3_000_001
    assert next_epoch(job, replace(first, epoch=3_000_001)) == 3_000_002
    assert next_epoch(job, replace(first, epoch=9_000_000)) == 9_000_001


def test_renewing_draws_one_version_for_all() -> None:
    """Those named get it."""
    book = ledger({}, task(0), task(1))
    renew(book, JOB, [task(1).id])
    assert {each.worker: each.assignment_version for each in book.tasks.values()} == {0: 3, 1: 4}


def test_what_is_assigned_and_not_held_has_its_time() -> None:
    """Ten seconds from the assignment until the epoch is raised, with a note; doubled when it was high already."""
    book = ledger({"s0": 0}, task(0), workers=1)
    told = heard(book)
    told = {task_id: Heard(report=replace(each.report, owned=()), at=each.at) for task_id, each in told.items()}
    book.put_shards(JOB, [replace(book.shards(JOB)[ShardId("s0")], assigned_at=NOW - 4)])
    due: list[float] = []
    assign(book, book.jobs[JOB], told, {}, PATIENCE, NOW, due)
    assert due == [NOW + 6]
    assert book.shards(JOB)[ShardId("s0")].epoch == 2_000_001
    assign(book, book.jobs[JOB], told, {}, PATIENCE, NOW + 6, [])
    assert book.shards(JOB)[ShardId("s0")].epoch == 4_000_002
    assert "its log has a higher one" in book.notes[0].text
