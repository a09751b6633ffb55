"""What people see: everything that matters is there, nothing is torn, and each thing is told once."""

from __future__ import annotations

import dataclasses
import io
import re

import pytest
from rich.console import Console, RenderableType

from headgate.adapters.api_types import explanation, summary
from headgate.adapters.terminal import PlainLines, follow_job
from headgate.adapters.terminal_live import LiveView
from headgate.adapters.terminal_tables import jobs_table
from headgate.adapters.terminal_text import (
    age_text,
    bytes_text,
    clock_text,
    count_text,
    dead_letters_text,
    event_time_text,
    spark_text,
)
from headgate.adapters.terminal_why import agent_explained, agents_table, explained, tried
from headgate.model.ids import AgentId, JobName, ShardId, TaskId
from headgate.model.job import Checkpoint, JobSpec, Program
from headgate.model.note import Note, NoteKind
from headgate.model.offer import Unavailability
from headgate.model.record import Goal, JobState
from headgate.model.resources import Resources
from headgate.model.task import Stage
from headgate.model.view import (
    AgentView,
    JobView,
    MasterView,
    OfferCounters,
    RestartView,
    ScalingView,
    ShardView,
    TaskCounters,
    View,
    WorkerView,
)
from headgate.model.waiting import (
    AgentExplanation,
    DryRun,
    DryStart,
    FunnelStep,
    InverseAnswer,
    NearestFit,
    OfferFate,
    Verdict,
    Veto,
    VetoCount,
    VetoKind,
    Waiting,
)
from millstream.contract.report import AuditCounters, CheckpointReport, ShardState

AT = 1_700_000_000.0
NAME = JobName("delays")


def worker(number: int, **more: object) -> WorkerView:
    given: dict[str, object] = {
        "worker": number,
        "task_id": TaskId(f"delays.1.{number}.0"),
        "stage": Stage.RUNNING,
        "since": AT - 100,
        "ready": True,
        "agent_id": AgentId("a"),
        "hostname": f"agent-{number}",
        "resources": Resources(cpus_m=1500, mem_m=512_000),
        "rss_bytes": 100 * 1024 * 1024,
        "records_per_s": 1234.0,
    }
    return WorkerView(**{**given, **more})  # type: ignore[arg-type]


def shard(number: int, **more: object) -> ShardView:
    given: dict[str, object] = {
        "id": ShardId(f"flights-{number:02}"),
        "epoch": 3,
        "worker": 0,
        "state": ShardState.RUNNING,
        "backlog_records": 10 * number,
        "lag_s": 2.5,
        "watermark_ms": 1_370_000_000_000,
        "checkpoint": CheckpointReport(id=41, age_s=3.0, bytes=10, duration_s=0.1),
        "checkpoint_at": AT - 4,
    }
    return ShardView(**{**given, **more})  # type: ignore[arg-type]


JOB = JobView(
    name=NAME,
    submission=1,
    spec=JobSpec(name=NAME, program=Program(file="a.py")),
    state=JobState.RUNNING,
    state_since=AT - 130,
    goal=Goal.RUN,
    submitted_at=AT - 140,
    workers_wished=3,
    workers_ready=2,
    workers=(worker(0), worker(1), worker(2, ready=False, stage=None, backoff_until=AT + 5, last_failure="killed [9]")),
    shards=tuple(shard(number) for number in range(16)),
    shards_complete=True,
    shards_finished=4,
    backlog_records=123_456,
    lag_s=34.0,
    records_per_s=4_500.0,
    audit=AuditCounters(records_in=2_345_678, records_out=12, late=3, dead=7),
    restarts=5,
    moves=6,
    scaling=ScalingView(enabled=True, pinned=False, verdict="3 workers are enough"),
    waiting=Waiting(
        since=AT - 20,
        workers=(2,),
        text="worker 2 fits on none of 2 agents; nearest is agent-1",
        head="worker 2 fits on none of 2 agents",
        agents=2,
        vetoed=(VetoCount(kind=VetoKind.MEM, agents=2),),
        funnel=(
            FunnelStep(check="role", kind=VetoKind.ROLE, vetoed=0, left=2),
            FunnelStep(check="mem", kind=VetoKind.MEM, vetoed=2, left=0),
        ),
        nearest=NearestFit(
            agent_id=AgentId("a"),
            hostname="agent-1",
            vetoes=(Veto(kind=VetoKind.MEM, text="mem: wants 4 GiB, 3.5 GiB free"),),
        ),
        remedy="mem ≤ 3.5 GiB, or without constraint rack",
        alternatives=("mem ≤ 3.5 GiB", "without constraint rack"),
    ),
)
NOTES = tuple(
    Note(at=AT - 60 + number, kind=kind, text=f"thing {number} [bold]happened[/bold]", job=NAME)
    for number, kind in enumerate((NoteKind.LAUNCHED, NoteKind.FAILED))
)
VIEW = View(
    at=AT,
    ticks=1,
    master=MasterView(connected=True, reconciled=True, master="10.0.0.1:5050"),
    jobs=(JOB,),
    offers=OfferCounters(received=40, accepted=4, declined=36),
    tasks=TaskCounters(launched=5, failed=1, lost=1),
    events=NOTES,
)


def drawn(what: RenderableType, width: int = 100) -> str:
    screen = Console(record=True, width=width, file=io.StringIO())
    screen.print(what)
    return screen.export_text()


def test_the_live_view_shows_what_matters_at_100_columns() -> None:
    text = drawn(LiveView("delays").draw(VIEW))
    for words in (
        "delays", "running for 2m 10s", "backlog 123k", "lag 34s", "rate 4,500/s", "workers 2/3 ready",
        "shards 4/16 done", "in 2.35M", "out 12", "late, dead 3, 7", "restarts 5", "moves 6",
        "scaling 3 workers are enough", "waiting for 20s: worker 2 fits on none of 2 agents",
        "agent-0", "1.5", "100MiB/512MiB", "1,234", "1m 40s", "waits 5.0s", "worker 2: killed [9]",
        "flights-15", "05-31 11:33", "#41 4.0s", "… and 6 more", "master 10.0.0.1:5050",
        "offers 40 seen, 4 taken, 36 declined", "tasks 5 launched, 2 failed", "launched",
        "thing 1 [bold]happened[/bold]",
    ):  # fmt: skip
        assert words in text, words


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_is_torn(width: int) -> None:
    lines = drawn(LiveView("delays").draw(VIEW, width=width), width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert all(line[0] in "╭│╰" and line[-1] in "╮│╯" for line in lines)


def test_narrow_terminals_keep_names_and_states() -> None:
    text = drawn(LiveView("delays").draw(VIEW, width=80), 80)
    assert "flights-15" in text
    assert "agent-0" in text
    assert "epoch" not in text


def test_trouble_is_never_among_what_is_left_out() -> None:
    shards = tuple(shard(number, problem="cannot read" if number == 0 else None) for number in range(64))
    workers = tuple(worker(number, problem="no such module" if number == 40 else None) for number in range(41))
    job = dataclasses.replace(JOB, shards=shards, workers=workers)
    text = drawn(LiveView("delays").draw(dataclasses.replace(VIEW, jobs=(job,))))
    assert "flights-00: cannot read" in text
    assert "worker 40: no such module" in text
    assert "… and 29 more" in text


def test_a_job_that_is_not_there_yet_and_one_that_failed() -> None:
    assert "waiting for delays" in drawn(LiveView("delays").draw(View(at=AT)))
    failed = dataclasses.replace(JOB, state=JobState.FAILED, failure="worker 0 failed 5 times")
    assert "failed: worker 0 failed 5 times" in drawn(
        LiveView("delays").draw(dataclasses.replace(VIEW, jobs=(failed,)))
    )


def test_events_of_other_jobs_and_earlier_ones_are_not_shown() -> None:
    other = Note(at=AT, kind=NoteKind.MOVED, text="not ours", job=JobName("other"))
    ours = Note(at=AT, kind=NoteKind.CONNECTED, text="subscribed")
    view = dataclasses.replace(VIEW, events=(*NOTES, other, ours))
    text = drawn(LiveView("delays", since=AT - 30).draw(view))
    assert "subscribed" in text
    assert "not ours" not in text
    assert "thing 1" not in text


def test_the_curve_grows_once_per_tick() -> None:
    live = LiveView("delays")
    for ticks, backlog in ((1, 0), (2, 80), (2, 80), (3, 40)):
        view = dataclasses.replace(VIEW, ticks=ticks, jobs=(dataclasses.replace(JOB, backlog_records=backlog),))
        text = drawn(live.draw(view))
    assert "backlog ▁█▅ " in text


def test_all_jobs_one_line_each() -> None:
    text = drawn(jobs_table([summary(JOB)], at=AT))
    for words in ("delays", "running", "2m 10s", "2/3", "16", "123k", "34s", "4,500/s", "5", "worker 2 fits"):
        assert words in text, words


def test_an_explanation_is_sentences() -> None:
    text = drawn(explained(explanation(dataclasses.replace(JOB, history=NOTES), VIEW), history=12))
    for words in (
        "delays is running for 2m 10s.",
        "Waiting for 20s: worker 2 fits on none of 2 agents\n",
        "known agents                 2    ████████████████████",
        "mem             against 2    0",
        "nearest: agent-1: mem: wants 4 GiB, 3.5 GiB free",
        "fits if mem ≤ 3.5 GiB\n",
        "fits if without constraint rack\n",
        "Scaling: 3 workers are enough",
        "thing 0",
    ):
        assert words in text, words
    assert "role" not in text
    assert "It waits for nothing." in drawn(
        explained(explanation(dataclasses.replace(JOB, waiting=None), VIEW), history=12)
    )


BUSY = dataclasses.replace(
    JOB,
    restart=RestartView(workers=3, replaced=1),
    workers=(worker(0, moving_since=AT - 5, why="maintenance of agent-0 begins in 600 s"), worker(1)),
    shards=(shard(0), shard(1, stuck=True, owners_stuck=2)),
    waiting=None,
)
LOST = dataclasses.replace(VIEW, jobs=(BUSY,), disaster="9 of 10 workers were lost")


def test_what_is_under_way_and_what_is_lost_is_seen_everywhere() -> None:
    """In the live view, the explanation, the list and plain lines."""
    alarm = "disaster mode: 9 of 10 workers were lost; kills, scaling down and restarts wait"
    live, why = drawn(LiveView("delays").draw(LOST)), drawn(explained(explanation(BUSY, LOST), history=0), width=140)
    for text in (live, why):
        assert alarm in text
        assert "restart is under way: 1 of 3 workers are replaced" in text
        assert "orker 0 is moved: maintenance of agent-0 begins in 600 s" in text
    assert re.search(r"flights-01 +0 +3 +stuck", live)
    assert re.search(r"0 +moving +agent-0", live)
    assert "shard flights-01: has work waiting that is not done; taken from 2 workers in a row for that" in why
    assert "It waits for nothing." not in why
    assert "1 of 3 workers are replaced" in drawn(jobs_table([summary(BUSY)], at=AT), width=160)
    told = PlainLines("delays")
    assert [alarm in line for line in told.tell(LOST)].count(True) == 1
    assert not any(alarm in line for line in told.tell(LOST))


def test_an_agent_that_is_to_be_maintained_says_when_and_what_we_answered() -> None:
    answer = InverseAnswer(at=AT, agree=False, reason="no other agent has room for a worker of delays")
    window = Unavailability(start_at=AT + 600)
    agent = AgentView(
        id=AgentId("a"), hostname="host-a", offered=Resources(), seen_at=AT, maintenance=window, answer=answer
    )
    found = AgentExplanation(
        agent_id=AgentId("a"), hostname="host-a", seen_at=AT, free=Resources(), maintenance=window, answer=answer
    )
    words = "maintenance in 10m, not agreed to: no other agent has room for a worker of delays."
    assert words in drawn(agents_table([agent], at=AT), width=200)
    assert words in drawn(agent_explained(found, at=AT), width=200)
    begun = dataclasses.replace(found, maintenance=Unavailability(start_at=AT - 60), answer=None)
    assert "maintenance since 1m.\n" in re.sub(" +\n", "\n", drawn(agent_explained(begun, at=AT)))


def test_all_of_the_history_or_the_newest_of_it() -> None:
    job = dataclasses.replace(JOB, history=NOTES)
    assert "thing 0" not in drawn(explained(explanation(job, VIEW), history=1))
    assert "thing 0" in drawn(explained(explanation(job, VIEW), history=None))


def test_a_dry_run_says_where_and_why_not() -> None:
    start = DryStart(worker=0, agent_id=AgentId("a"), hostname="agent-1")
    found = DryRun(
        job=NAME, wished=2, text="1 of 2 workers would start now: 1 on agent-1", starts=(start,), waiting=JOB.waiting
    )
    text = drawn(tried(dataclasses.replace(found, role_assumed=True)))
    for words in (
        "delays: 1 of 2 workers would start now: 1 on agent-1",
        "fits if mem ≤ 3.5 GiB",
        "Its role has not been offered yet",
        "Nothing was submitted.",
    ):
        assert words in text, words
    assert "role" not in drawn(tried(dataclasses.replace(found, waiting=None)))


def test_agents_and_what_became_of_their_offers() -> None:
    agent = AgentView(
        id=AgentId("a-1"),
        hostname="agent-1",
        offered=Resources(cpus_m=2500, mem_m=4096_000, gpus_m=2000),
        seen_at=AT - 5,
        tasks=3,
        fate=OfferFate(at=AT - 4, reason="nothing is wanted", refuse_s=600.0),
    )
    avoided = dataclasses.replace(agent, id=AgentId("a-2"), avoided_until=AT + 60, fate=None)
    text = drawn(agents_table([agent, avoided], at=AT), 160)
    for words in (
        "agent-1 (1)  ",
        "agent-1 (2)  ",
        "2.5 cpus, 4GiB, 2 GPUs",
        "5.0s",
        "refused for 10m: nothing is wanted",
        "avoided for 1m: tasks failed there.",
    ):
        assert words in text, words
    assert "agent-1  " in drawn(agents_table([agent], at=AT), 160)


def test_an_agent_says_what_jobs_lack_there() -> None:
    found = AgentExplanation(
        agent_id=AgentId("a-1"),
        hostname="agent-1",
        seen_at=AT - 90,
        free=Resources(cpus_m=1000, mem_m=1024_000),
        fate=OfferFate(at=AT, reason="the fullest that fits 1 worker", tasks=(TaskId("delays.3.0.1"),)),
        verdicts=(
            Verdict(job=NAME, role="web", vetoes=(Veto(kind=VetoKind.MEM, text="mem: wants 4 GiB, 1 GiB free"),)),
            Verdict(job=JobName("small"), role="web"),
        ),
    )
    text = drawn(agent_explained(found, at=AT))
    for words in (
        "agent-1 (a-1), last offered 1m 30s ago: 1 cpu, 1GiB free.",
        "used for delays.3.0.1: the fullest that fits 1 worker.",
        "delays (offered to web): mem: wants 4 GiB, 1 GiB free",
        "small (offered to web): would fit",
    ):
        assert words in text, words
    assert "No job waits." in drawn(agent_explained(dataclasses.replace(found, verdicts=()), at=AT))


def test_dead_letters_are_told_with_their_place() -> None:
    told = "dead letters: 7, with position and reason in"
    assert dead_letters_text(JOB, "/data/checkpoints") == f"{told} /data/checkpoints/delays/dead-letters"
    named = dataclasses.replace(JOB, spec=dataclasses.replace(JOB.spec, checkpoint=Checkpoint(store="/mnt/store")))
    assert dead_letters_text(named, "/data") == f"{told} /mnt/store/delays/dead-letters"
    assert dead_letters_text(dataclasses.replace(JOB, audit=AuditCounters()), "/data") is None


def test_plain_lines_tell_each_thing_once() -> None:
    lines = PlainLines("delays")
    first = lines.tell(VIEW)
    assert [line.split("  ", 1)[1] for line in first[:2]] == [
        "launched     thing 0 [bold]happened[/bold]",
        "failed       thing 1 [bold]happened[/bold]",
    ]
    assert "backlog 123k, lag 34s, 4,500/s, workers 2/3, in 2.35M, out 12" in first[2]
    assert first[3:] == [f"{clock_text(AT)}  waiting      worker 2 fits on none of 2 agents; nearest is agent-1"]
    assert lines.tell(VIEW) == []
    more = Note(at=AT + 1, kind=NoteKind.MOVED, text="moved", job=NAME)
    other = Note(at=AT + 1, kind=NoteKind.MOVED, text="not ours", job=JobName("other"))
    (line,) = lines.tell(dataclasses.replace(VIEW, events=(*NOTES[1:], more, other)))
    assert line.endswith("moved        moved")


def test_following_ends_with_the_job_and_says_how() -> None:
    over = dataclasses.replace(VIEW, jobs=(dataclasses.replace(JOB, state=JobState.COMPLETED),))
    views = iter([VIEW, VIEW, over])
    out = io.StringIO()
    state = follow_job(Console(file=out, width=100), "delays", lambda: next(views), every_s=0.0)
    assert state is JobState.COMPLETED
    assert out.getvalue().count("thing 0") == 1
    assert "completed" in out.getvalue()
    views = iter([View(at=AT), VIEW, View(at=AT)])
    assert follow_job(Console(file=out), "delays", lambda: next(views), every_s=0.0) is None


def test_following_draws_in_place_on_a_terminal() -> None:
    over = dataclasses.replace(VIEW, jobs=(dataclasses.replace(JOB, state=JobState.FAILED),))
    views = iter([VIEW, over])
    out = io.StringIO()
    screen = Console(file=out, width=100, height=60, force_terminal=True)
    assert follow_job(screen, "delays", lambda: next(views), every_s=0.0) is JobState.FAILED
    assert "╭" in out.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (12.4, "12"), (99_999, "99,999"), (100_000, "100k"), (1_234_567, "1.23M"), (2e9, "2G")],
)
def test_counts(value: float | None, text: str) -> None:
    assert count_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (-1, "0.0s"),
        (0.44, "0.4s"),
        (59.4, "59s"),
        (59.9, "1m"),
        (61, "1m 1s"),
        (7260, "2h 1m"),
        (90000, "1d 1h"),
    ],
)
def test_ages(seconds: float | None, text: str) -> None:
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "–"), (812, "812B"), (1024, "1KiB"), (356_515_840, "340MiB"), (5e13, "45.5TiB")]
)
def test_bytes(count: float | None, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"), [(None, "–"), (0, "01-01 00:00"), (-1, "12-31 23:59"), (10**18, "–"), (-(10**18), "–")]
)
def test_event_times(milliseconds: int | None, text: str) -> None:
    assert event_time_text(milliseconds) == text


def test_sparks() -> None:
    assert spark_text([]) == ""
    assert spark_text([0, 0]) == "▁▁"
    assert spark_text([0, 50, 100]) == "▁▅█"
