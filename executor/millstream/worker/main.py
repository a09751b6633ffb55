"""The worker: a Mesos executor that runs one worker slot of a job.  `python -m millstream.worker`, or
`millstream-worker`; an agent starts it, nobody else has a use for it.

This is the wiring.  Three kinds of threads: the driver's move messages, the processing thread runs the program, and the
main one decides; it never runs code of the program, so it answers whatever the program does.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from threading import Thread
from typing import Final

from millstream.adapters.clock import SystemClock
from millstream.adapters.executor_environment import BadEnvironment, read_environment
from millstream.adapters.mesos_agent import ExecutorDriver
from millstream.adapters.resource_usage import UsageMeter
from millstream.contract.checkpoint import Position, ShardId
from millstream.contract.worker_spec import WorkerSpec
from millstream.plan import Plan, stage_of
from millstream.ports import Clock
from millstream.program import load_program
from millstream.runtime.shard import ShardRuntime, refuse_broken_promises
from millstream.sources.source import Discovery
from millstream.stores.location import open_store
from millstream.stores.object_store import ObjectStore
from millstream.worker.loop import News, Terminate, WorkerEvent, WorkerLoop
from millstream.worker.processing import Processing
from millstream.worker.sink_meter import SinkMeter, metered

_USAGE_ERROR: Final = 2
_LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(threadName)s: %(message)s"
_log = logging.getLogger(__name__)


class LoadedProgram:
    """A stream program with its job's store, its sinks under a meter."""

    def __init__(self, spec: WorkerSpec, plan: Plan, store: ObjectStore, meter: SinkMeter) -> None:
        self._spec = spec
        self._stages = metered(plan, meter).stages()
        self._store = store
        self._meter = meter

    def discover(self) -> Discovery:
        """The shards of all stages that exist now.  Raises as `Source.discover`."""
        found = [stage.source.discover() for stage in self._stages]
        shards = sorted((shard for each in found for shard in each.shards), key=lambda shard: shard.id)
        return Discovery(shards=tuple(shards), complete=all(each.complete for each in found))

    def open(self, shard: str, epoch: int, *, read_before: int | None) -> ShardRuntime:
        """A runtime of one shard; this attempt is its owner."""
        return ShardRuntime(
            stage_of(self._stages, ShardId(shard)),
            shard=ShardId(shard),
            epoch=epoch,
            owner=self._spec.task_id,
            store=self._store,
            delivery=self._spec.delivery,
            keep=self._spec.checkpoint.keep,
            job=self._spec.job,
            program_revision=self._spec.program.sha256,
            read_before=None if read_before is None else Position(read_before),
        )

    def blocked_s(self) -> float:
        """Seconds spent waiting for sinks."""
        return self._meter.blocked_s


def loader(sandbox: Path, clock: Clock) -> Callable[[WorkerSpec], LoadedProgram]:
    """Loads the program of a spec from `sandbox`, where the agent has put its bundle.

    The function returned raises `ProgramError`: the program, its store's address, or what it promises is wrong.
    """

    def load(spec: WorkerSpec) -> LoadedProgram:
        stream = load_program(sandbox / spec.program.file, spec.program.object, spec.program.args)
        plan = stream.plan()
        refuse_broken_promises(plan, spec.delivery)
        store = open_store(spec.checkpoint.store, spec.job)
        return LoadedProgram(spec, plan, store, SinkMeter(clock=clock, cpu_s=time.process_time))

    return load


def main() -> int:
    """Run until the task is over; the exit code: 0 well or asked to end, 1 failed, 2 not started by an agent."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=_LOG_FORMAT)
    try:
        environment = read_environment(os.environ)
    except BadEnvironment as problem:
        print(f"millstream-worker: {problem}", file=sys.stderr)  # noqa: T201 - for whoever typed the command
        return _USAGE_ERROR
    clock, randomness = SystemClock(), Random()
    mailbox: SimpleQueue[WorkerEvent] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: mailbox.put(Terminate()))
    threads: list[Thread] = []

    def start(spec: WorkerSpec) -> Processing:
        processing = Processing(
            spec,
            load=loader(Path(environment.sandbox), clock),
            clock=clock,
            randomness=randomness,
            changed=lambda: mailbox.put(News()),
        )
        threads.append(Thread(target=processing.run, name="processing", daemon=True))
        threads[-1].start()
        return processing

    driver = ExecutorDriver(environment, deliver=mailbox.put, clock=clock, randomness=randomness)
    loop = WorkerLoop(
        executor=driver, start=start, clock=clock, usage=UsageMeter(), grace_s=environment.shutdown_grace_s
    )
    with driver:
        _run(loop, mailbox, clock)
    code = loop.exit_code
    assert code is not None
    _log.info("over, exit code %d", code)
    if any(thread.is_alive() for thread in threads):
        # The program does not return from a call: leave without it, as ending a thread in its middle is not possible.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)
    return code


def _run(loop: WorkerLoop, mailbox: SimpleQueue[WorkerEvent], clock: Clock) -> None:
    while (due_at := loop.tick()) is not None:
        pause_s = due_at - clock.monotonic()
        try:
            event = mailbox.get(timeout=None if pause_s == float("inf") else max(0.0, pause_s))
        except Empty:
            continue
        loop.handle(event)
        while not mailbox.empty():
            loop.handle(mailbox.get())
