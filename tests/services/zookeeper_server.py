"""A real ZooKeeper for tests: one server, or an ensemble, on loopback, each server a process with its own folder.

Needs what Debian and Ubuntu call `zookeeper` and a Java runtime.  Each test keeps to a path of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Final

import pytest

INSTALL: Final = "apt-get install --no-install-recommends zookeeper default-jre-headless"
_JARS: Final = ("zookeeper.jar", "slf4j-simple.jar")
_JAR_FOLDER: Final = Path("/usr/share/java")
_START_S: Final = 60.0
_TICK_MS: Final = 500


def require_zookeeper() -> None:
    """Skip the test on a machine without ZooKeeper, saying what to install; where CI is set, fail."""
    missing = [name for name in _JARS if not (_JAR_FOLDER / name).exists()]
    if shutil.which("java") is None:
        missing.append("java")
    if not missing:
        return
    reason = f"needs a ZooKeeper: {', '.join(missing)} not found; {INSTALL}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


class ZooKeeperServer:
    """One server process.  It may be killed, and started again on the same data."""

    def __init__(self, folder: Path, *, port: int, settings: str = "") -> None:
        self.port: Final = port
        self._folder: Final = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "zoo.cfg").write_text(
            f"tickTime={_TICK_MS}\ninitLimit=20\nsyncLimit=10\ndataDir={folder / 'data'}\nclientPort={port}\n"
            "clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=ruok,srvr\n"
            f"maxClientCnxns=0\nforceSync=no\n{settings}"
        )

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def mode(self) -> str | None:
        """`standalone`, `leader` or `follower`; None while it does not serve."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"srvr")
                answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        except OSError:
            return None
        found = [line.partition(": ")[2] for line in answer.splitlines() if line.startswith("Mode: ")]
        return found[0] if found else None

    def start(self) -> None:
        """Begin; `await_serving` says when it is there."""
        assert self._process is None or self._process.poll() is not None
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "java", "-Xmx128m", "-XX:TieredStopAtLevel=1",
                    "-cp", ":".join(str(_JAR_FOLDER / name) for name in _JARS),
                    "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self._folder / "zoo.cfg"),
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def await_serving(self) -> None:
        """Until it answers requests."""
        pause = threading.Event()
        for _ in range(int(_START_S / 0.1)):
            if self.mode is not None:
                return
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "log").read_text()
            pause.wait(0.1)
        raise AssertionError(f"no ZooKeeper within {_START_S:g} s:\n{(self._folder / 'log').read_text()}")

    def pause(self) -> None:
        """Stop it in its tracks: connections stay, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once.  Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class ZooKeepers:
    """One server or an ensemble, from `with` to its end."""

    def __init__(self, folder: Path, *, size: int = 1) -> None:
        ports = free_ports(3 * size)
        peers = "".join(
            f"server.{number}=127.0.0.1:{ports[3 * number - 2]}:{ports[3 * number - 1]}\n"
            for number in range(1, size + 1)
        )
        self.servers: Final = [
            ZooKeeperServer(
                folder / f"zookeeper-{number}", port=ports[3 * number - 3], settings=peers if size > 1 else ""
            )
            for number in range(1, size + 1)
        ]
        for number in range(1, size + 1):
            data = folder / f"zookeeper-{number}" / "data"
            data.mkdir(parents=True)
            (data / "myid").write_text(f"{number}\n")

    @property
    def hosts(self) -> str:
        """`host:port,…` of all servers."""
        return ",".join(each.address for each in self.servers)

    @property
    def leader(self) -> ZooKeeperServer:
        """The server that leads the ensemble now."""
        (found,) = [each for each in self.servers if each.mode in ("leader", "standalone")]
        return found

    def start(self) -> None:
        """Start all, and wait until all serve."""
        for each in self.servers:
            each.start()
        for each in self.servers:
            each.await_serving()

    def kill(self) -> None:
        """End all at once."""
        for each in self.servers:
            each.kill()

    def __enter__(self) -> ZooKeepers:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
