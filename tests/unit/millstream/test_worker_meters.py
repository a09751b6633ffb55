"""What the worker measures of itself: the kernel's accounts, and the time spent waiting for sinks."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from worker_bench import FakeClock

from millstream.adapters.resource_usage import UsageMeter
from millstream.contract.checkpoint import ShardId
from millstream.contract.worker_spec import Delivery
from millstream.sinks.collecting import CollectingSink
from millstream.sinks.sink import Sink, WriterContext
from millstream.sources.rows import RowsSource
from millstream.steps import WriteTo
from millstream.stream import Stream
from millstream.worker.sink_meter import SinkMeter, metered

V2 = "usage_usec 9000000\nnr_periods 10\nnr_throttled 3\nthrottled_usec 2500000\n"
V1 = "nr_periods 10\nnr_throttled 3\nthrottled_time 1500000000\n"


@pytest.mark.parametrize(
    ("membership", "cpu_stat", "content", "throttled_s"),
    [
        ("0::/mesos/c1\n", "mesos/c1/cpu.stat", V2, 2.5),
        ("0::/../../elsewhere\n", "cpu.stat", V2, 2.5),
        ("0::/\n", "cpu.stat", V2, 2.5),
        ("12:memory:/m/c1\n3:cpu,cpuacct:/mesos/c1\n", "cpu,cpuacct/mesos/c1/cpu.stat", V1, 1.5),
        ("3:cpu,cpuacct:/host/path\n", "cpu,cpuacct/cpu.stat", V1, 1.5),
        ("3:cpu,cpuacct:/mesos/c1\n", "cpu/mesos/c1/cpu.stat", V1, 1.5),
        ("0::/mesos/c1\n2:cpu:/mesos/c1\n", "cpu/mesos/c1/cpu.stat", V1, 1.5),
        ("0::/mesos/c1\n", "mesos/c1/cpu.stat", "usage_usec 9\n", 0.0),
        ("2:memory:/m\n", "mesos/c1/cpu.stat", V2, 0.0),
        ("", "cpu.stat", V2, 0.0),
    ],
)
def test_throttling(tmp_path: Path, membership: str, cpu_stat: str, content: str, throttled_s: float) -> None:
    """Both versions of control groups, seen from outside and from inside their namespace, or not at all."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    proc.mkdir()
    (proc / "cgroup").write_text(membership)
    file = cgroups / cpu_stat
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert UsageMeter(proc=proc, cgroups=cgroups)().throttled_s == throttled_s


def test_usage_without_proc(tmp_path: Path) -> None:
    """Where nothing can be read there are still CPU and peak memory."""
    usage = UsageMeter(proc=tmp_path, cgroups=tmp_path)()
    assert usage.cpu_s > 0
    assert usage.rss_bytes > 1 << 20
    assert usage.throttled_s == 0.0


def test_usage_of_this_process() -> None:
    """On Linux resident memory is what it is now, below the peak."""
    usage = UsageMeter()()
    held = bytearray(64 << 20)
    assert UsageMeter()().rss_bytes - usage.rss_bytes > len(held) // 2


class SlowSink(CollectingSink):
    """Each call takes a second, of which `cpu` is work."""

    def __init__(self, schema: pl.Schema, clock: FakeClock, cpu: list[float], work_s: float) -> None:
        super().__init__(schema)
        self._clock, self._cpu, self._work_s = clock, cpu, work_s

    def open(self, context: WriterContext):  # type: ignore[no-untyped-def]
        self._clock.seconds += 1.0
        self._cpu[0] += self._work_s
        return super().open(context)


@pytest.mark.parametrize(("work_s", "blocked_s"), [(0.0, 2.0), (0.25, 1.5), (1.0, 0.0), (3.0, 0.0)])
def test_waiting_is_time_without_work(work_s: float, blocked_s: float) -> None:
    """CPU used inside the sink, by any thread of the process, is no waiting; two sinks add up."""
    clock, cpu = FakeClock(), [0.0]
    frame = pl.DataFrame({"n": [1, 2, 3]})
    sinks = [SlowSink(frame.schema, clock, cpu, work_s) for _ in range(2)]
    plan = Stream(RowsSource({"a": frame})).to(sinks[0], name="one").to(sinks[1], name="two").plan()
    meter = SinkMeter(clock=clock, cpu_s=lambda: cpu[0])
    watched: list[Sink] = [step.sink for step in metered(plan, meter).steps if isinstance(step, WriteTo)]
    context = WriterContext(job="j", shard=ShardId("a"), epoch=1, sink_name="one", delivery=Delivery.EXACTLY_ONCE)
    writers = [sink.open(context) for sink in watched]
    assert meter.blocked_s == pytest.approx(blocked_s)
    for writer in writers:
        writer.write(frame)
        (output,) = writer.prepare(1)
        assert writer.promote([output]) == ()
    assert [sink.frame.rows() for sink in sinks] == [frame.rows()] * 2
    assert [(sink.name, sink.guarantees) for sink in watched] == [("collect", frozenset(Delivery))] * 2


def test_failing_sink_is_measured_and_fails() -> None:
    """An error passes through, and the time until it counts."""
    clock = FakeClock()
    meter = SinkMeter(clock=clock, cpu_s=lambda: 0.0)

    def fails() -> None:
        with meter.watching():
            clock.seconds += 2.0
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        fails()
    assert meter.blocked_s == 2.0
