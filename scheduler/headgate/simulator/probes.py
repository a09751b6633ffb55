"""Checks of tasks performed for real: a command beside the task, an HTTP request, a TCP connection.

Source: src/checks/checker_process.cpp of Mesos, which uses curl (redirects are followed, certificates not looked at).
"""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from headgate.simulator.messages import CheckTask, Json, SignalContainer
from headgate.simulator.processes import Exited, Failed, Processes, ProcessEvent

Report: TypeAlias = "Callable[[Json | None], None]"
"""Takes the body of a CheckStatusInfo; None without a result in time."""


class Probes:
    """The checks that are being performed."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._commands: dict[str, asyncio.Future[int | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def perform(self, order: CheckTask, work_dir: Path, report: Report) -> None:
        """Begin a check; `report` is called in the event loop when it is over."""
        task = asyncio.create_task(self._perform(order, work_dir, report))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def heard(self, event: ProcessEvent) -> bool:
        """Something happened to a process; whether it is that of a check."""
        waiting = self._commands.get(event.container_id)
        if waiting is None:
            return False
        if not waiting.done():
            if isinstance(event, Exited):
                waiting.set_result(event.wait_status)
            elif isinstance(event, Failed):
                waiting.set_result(None)
        if not isinstance(event, Exited | Failed):
            return True
        del self._commands[event.container_id]
        return True

    async def close(self) -> None:
        """Give up what is under way; nothing is reported any more."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _perform(self, order: CheckTask, work_dir: Path, report: Report) -> None:
        limit_s = order.timeout_s or None
        if order.kind == "COMMAND":
            outcome = await self._command(order, work_dir, limit_s)
        elif order.kind == "HTTP":
            outcome = await asyncio.to_thread(_http, order.target, limit_s)
        else:
            outcome = await _tcp(order.target, limit_s)
        report(outcome)

    async def _command(self, order: CheckTask, work_dir: Path, limit_s: float | None) -> Json | None:
        """Its exit code; a process that a signal ended has none."""
        assert order.command is not None
        container_id = order.command.container_id
        ended = self._commands[container_id] = asyncio.get_running_loop().create_future()
        self._processes.start(order.command, work_dir)
        try:
            status = await asyncio.wait_for(asyncio.shield(ended), limit_s)
        except asyncio.TimeoutError:
            kill = SignalContainer(agent_id=order.agent_id, container_id=container_id, signal=int(signal.SIGKILL))
            self._processes.signal(kill)
            return None
        if status is None or not os.WIFEXITED(status):
            return None
        return {"command": {"exit_code": os.WEXITSTATUS(status)}}


def _host(target: Json) -> str:
    return "::1" if target.get("protocol") == "IPv6" else "127.0.0.1"


async def _tcp(target: Json, limit_s: float | None) -> Json | None:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(_host(target), target["port"]), limit_s)
    except asyncio.TimeoutError:
        return None
    except OSError:
        return {"tcp": {"succeeded": False}}
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return {"tcp": {"succeeded": True}}


def _http(target: Json, limit_s: float | None) -> Json | None:
    """The status of the last answer; None if there is no whole answer in time."""
    host = _host(target)
    address = f"[{host}]" if ":" in host else host
    url = f"{target.get('scheme', 'http')}://{address}:{target['port']}{target.get('path', '')}"
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=limit_s) as answer:
            return {"http": {"status_code": answer.status}}
    except urllib.error.HTTPError as refusal:
        with refusal:
            return {"http": {"status_code": refusal.code}}
    except (OSError, ValueError):
        return None
