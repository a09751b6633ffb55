"""Containers as real processes: sandboxes, fetched files, exact environments, signals, and how they ended.

All processes are children of a `warden`, which ends them when this process ends, however that comes about.  Everything
here belongs to one event loop; only fetching runs in threads.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from headgate.simulator.fetching import FetchFailed, fetch
from headgate.simulator.messages import LinkVolumes, RemoveVolume, SandboxLink, SignalContainer, StartContainer

END_SECONDS_MAX = 15
_WARDEN = Path(__file__).with_name("warden.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The process runs.  `missing`: its program could not be executed, and its exit follows at once."""

    agent_id: str
    container_id: str
    pid: int
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No process came of it."""

    agent_id: str
    container_id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """The process ended; `wait_status` is raw.  `missing` as in `Started`."""

    agent_id: str
    container_id: str
    wait_status: int
    missing: bool = False


ProcessEvent: TypeAlias = Started | Failed | Exited


@dataclass(slots=True)
class _Container:
    agent_id: str
    pid: int | None = None
    missing: bool = False
    doomed: bool = False


class Processes:
    """The containers of a cluster.  `on_event` is called in the event loop, once per event, in order per container."""

    def __init__(self, on_event: Callable[[ProcessEvent], None]) -> None:
        self._on_event = on_event
        self._containers: dict[str, _Container] = {}
        self._changed = asyncio.Event()
        self._starts: set[asyncio.Task[None]] = set()
        self._warden: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        """Start the warden."""
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: an interrupt from the terminal must not reach it before the cluster has ended.
            self._warden = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_WARDEN), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                stdin=subprocess.DEVNULL,
            )
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reader = asyncio.create_task(self._listen(reader))

    async def close(self) -> None:
        """End every process and wait until they are gone; no event comes after this."""
        starts = list(self._starts)
        for task in starts:
            task.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        if self._reader:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader
        if self._writer:
            self._writer.close()
            with suppress(ConnectionError):
                await self._writer.wait_closed()
        if self._warden:
            await asyncio.to_thread(_wait, self._warden)
        self._containers.clear()

    def pid(self, container_id: str) -> int | None:
        """The first process of a container; None before it runs and after its end."""
        container = self._containers.get(container_id)
        return container.pid if container else None

    def start(self, order: StartContainer, work_dir: Path) -> None:
        """Begin to start a container; events tell the rest."""
        self._containers[order.container_id] = _Container(order.agent_id)
        task = asyncio.create_task(self._start(order, work_dir))
        self._starts.add(task)
        task.add_done_callback(self._starts.discard)

    def signal(self, order: SignalContainer) -> None:
        """Send a signal to all processes of a container, if it is there."""
        container = self._containers.get(order.container_id)
        if container is None:
            return
        if container.pid is not None:
            self._order(op="signal", id=order.container_id, signal=order.signal)
        elif order.signal == signal.SIGKILL:
            container.doomed = True

    async def ended(self, container_ids: Iterable[str]) -> None:
        """Wait until these containers have ended, for so long as a killed process may take."""
        waited = set(container_ids)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._gone(waited), END_SECONDS_MAX)

    async def _gone(self, container_ids: set[str]) -> None:
        while not container_ids.isdisjoint(self._containers):
            self._changed.clear()
            await self._changed.wait()

    # --- starting ------------------------------------------------------------------------------------------------

    async def _start(self, order: StartContainer, work_dir: Path) -> None:
        sandbox = work_dir / order.sandbox
        try:
            user = _user(order.user)
            _make_sandbox(sandbox, user)
            make_links(sandbox, order.links, work_dir, user)
            if order.uris:
                await asyncio.to_thread(fetch, order.uris, sandbox)
                _give(sandbox, user)
        except FetchFailed as fault:
            with (sandbox / "stderr").open("a") as log:
                log.write(f"{fault}\n")
            cause = f"Failed to fetch all URIs for container '{order.container_id}': exited with status 1"
            self._fail(order.container_id, cause)
            return
        except (OSError, LookupError) as fault:
            self._fail(order.container_id, str(fault))
            return
        container = self._containers[order.container_id]
        if container.doomed:
            self._fail(order.container_id, "Container is being destroyed during fetching")
            return
        if self._reader is None or self._reader.done():
            self._fail(order.container_id, "The process that starts containers is gone")
            return
        self._order(
            op="start",
            id=order.container_id,
            executable=order.executable,
            argv=list(order.argv),
            environment={
                name: value.replace("{sandbox}", str(sandbox)).replace("{work_dir}", str(work_dir))
                for name, value in order.environment.items()
            },
            directory=str(sandbox),
            user=user,
        )

    def _fail(self, container_id: str, message: str) -> None:
        container = self._containers.pop(container_id)
        self._changed.set()
        self._on_event(Failed(agent_id=container.agent_id, container_id=container_id, message=message))

    # --- the warden ----------------------------------------------------------------------------------------------

    def _order(self, **order: Any) -> None:
        assert self._writer
        self._writer.write(json.dumps(order).encode() + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._hear(json.loads(line))
        for container_id in list(self._containers):  # the warden was killed, and its children with it
            self._exited(container_id, signal.SIGKILL)

    def _hear(self, told: dict[str, Any]) -> None:
        container_id, event = told["id"], told["event"]
        container = self._containers[container_id]
        if event == "failed":
            self._fail(container_id, told["message"])
        elif event == "exited":
            self._exited(container_id, told["status"])
        else:
            container.pid, container.missing = told["pid"], told["missing"]
            self._on_event(
                Started(
                    agent_id=container.agent_id,
                    container_id=container_id,
                    pid=told["pid"],
                    missing=container.missing,
                )
            )
            if container.doomed:
                self._order(op="signal", id=container_id, signal=int(signal.SIGKILL))

    def _exited(self, container_id: str, status: int) -> None:
        container = self._containers.pop(container_id)
        self._changed.set()
        self._on_event(
            Exited(
                agent_id=container.agent_id,
                container_id=container_id,
                wait_status=status,
                missing=container.missing,
            )
        )


_User: TypeAlias = tuple[int, int, list[int]]


def _user(name: str | None) -> _User | None:
    """Ids to run as; None: as we are, which is all that anyone but root can do."""
    if os.geteuid() != 0 or name is None:
        return None
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        raise LookupError(f"Failed to get user information for '{name}': no such user") from None
    if found.pw_uid == os.geteuid():
        return None
    return found.pw_uid, found.pw_gid, os.getgrouplist(name, found.pw_gid)


def _make_sandbox(sandbox: Path, user: _User | None) -> None:
    sandbox.mkdir(parents=True, exist_ok=True)
    _give(sandbox, user)
    if sandbox.parent.name == "runs":
        latest = sandbox.parent / "latest"
        latest.unlink(missing_ok=True)
        latest.symlink_to(sandbox.name)


def _give(path: Path, user: _User | None) -> None:
    if user:
        for item in (path, *path.rglob("*")):
            os.chown(item, user[0], user[1], follow_symlinks=False)


def make_links(sandbox: Path, links: tuple[SandboxLink, ...], work_dir: Path, user: _User | None = None) -> None:
    """Put persistent volumes into a sandbox; those that are there already stay."""
    for link in links:
        volume, place = work_dir / link.volume, sandbox / link.path
        if not volume.exists():
            volume.mkdir(parents=True)
            _give(volume, user)
        place.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            place.symlink_to(volume)


def link_volumes(order: LinkVolumes, work_dir: Path) -> None:
    """Carry out a `LinkVolumes`."""
    make_links(work_dir / order.sandbox, order.links, work_dir)


def remove_volume(order: RemoveVolume, work_dir: Path) -> None:
    """Carry out a `RemoveVolume`."""
    shutil.rmtree(work_dir / order.volume, ignore_errors=True)


def _wait(warden: subprocess.Popen[bytes]) -> None:
    try:
        warden.wait(END_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        warden.kill()
        warden.wait()
