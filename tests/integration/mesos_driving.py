"""A driver against scripted masters: how the tests build it, and the check that it leaves nothing behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from scripted_master import PATIENCE_S, Exchange, Mailbox, ManualClock, ScriptedMaster

from headgate.adapters.interruptible_http import Access
from headgate.adapters.mesos_detection import ListedMasters, Masters
from headgate.adapters.mesos_http import MesosHttpMaster
from headgate.adapters.mesos_subscription import Timing
from headgate.errors import MasterUnavailable
from headgate.model.call import Framework, Revive
from headgate.model.event import Subscribed

QUICK = Timing(connect_s=5.0, answer_s=20.0, heartbeats_missed_max=3, backoff_s=0.005, backoff_max_s=0.02)
IMPATIENT = Timing(connect_s=0.3, answer_s=0.3, heartbeats_missed_max=3, backoff_s=0.005, backoff_max_s=0.02)
FRAMEWORK = Framework(user="worker", roles=("web",))


@dataclass
class Driven:
    """A driver at work."""

    driver: MesosHttpMaster
    mailbox: Mailbox
    clock: ManualClock


@contextmanager
def driving(
    *masters: ScriptedMaster,
    located: Masters | None = None,
    mailbox: Mailbox | None = None,
    timing: Timing = QUICK,
    framework: Framework = FRAMEWORK,
    framework_id: str | None = None,
    access: Access | None = None,
    start: bool = True,
) -> Iterator[Driven]:
    """A driver, started, which is stopped at the end and must then have left no thread."""
    box = mailbox or Mailbox()
    clock = ManualClock()
    driver = MesosHttpMaster(
        masters=located or ListedMasters([master.url for master in masters]),
        framework=framework,
        framework_id=framework_id,
        deliver=box.deliver,
        clock=clock,
        rng=random.Random(1),
        access=access,
        timing=timing,
    )
    if start:
        driver.start()
    try:
        yield Driven(driver, box, clock)
    finally:
        driver.stop(failover=True)
        assert not event_threads()


@contextmanager
def subscribed_to(master: ScriptedMaster, **options: Any) -> Iterator[tuple[Driven, Exchange]]:
    """A driver with a stream that is up."""
    with driving(master, **options) as driven:
        stream = master.next_subscribe()
        stream.grant()
        driven.mailbox.wait_for(1, Subscribed)
        yield driven, stream


def wait_until_refused_with(driven: Driven, text: str) -> None:
    """Calls are refused, at last with this reason why there is no subscription."""
    said = ""
    for _ in range(1000):
        try:
            driven.driver.send(Revive())
        except MasterUnavailable as problem:
            said = str(problem)
        if text in said:
            return
        threading.Event().wait(PATIENCE_S / 1000)
    raise AssertionError(f"waited for {text!r}: {said}")


def event_threads() -> list[threading.Thread]:
    """Threads of drivers that live."""
    return [thread for thread in threading.enumerate() if thread.name == "mesos-events"]
