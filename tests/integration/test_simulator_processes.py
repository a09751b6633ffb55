"""Containers as real processes: what they get, how they are told to end, how they are reported, and that none stays."""

import asyncio
import gzip
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Awaitable, Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from headgate.simulator.fetching import FetchFailed, fetch
from headgate.simulator.messages import LinkVolumes, RemoveVolume, SandboxLink, SignalContainer, StartContainer
from headgate.simulator.processes import (
    Exited,
    Failed,
    Processes,
    ProcessEvent,
    Started,
    link_volumes,
    remove_volume,
)

pytestmark = pytest.mark.integration

PATIENCE = 20.0
PATH = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


class Run:
    """Processes below a folder, and the events that came of them."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.events: asyncio.Queue[ProcessEvent] = asyncio.Queue()
        self.processes = Processes(self.events.put_nowait)

    async def next(self) -> ProcessEvent:
        """The next event."""
        return await asyncio.wait_for(self.events.get(), PATIENCE)

    def start(self, command: str | tuple[str, ...], container_id: str = "c", **more: Any) -> None:
        """Start a shell command, or an executable with its argv."""
        argv = ("sh", "-c", command) if isinstance(command, str) else command
        executable = more.pop("executable", "/bin/sh" if isinstance(command, str) else argv[0])
        whole = {"environment": PATH, "sandbox": f"runs/{container_id}", **more}
        self.processes.start(
            StartContainer(agent_id="S", container_id=container_id, executable=executable, argv=argv, **whole),
            self.work_dir,
        )

    async def to_its_end(self, command: str | tuple[str, ...], **more: Any) -> Exited:
        """Start it and wait for its end."""
        self.start(command, **more)
        assert isinstance(await self.next(), Started)
        ended = await self.next()
        assert isinstance(ended, Exited)
        return ended

    def signal(self, number: int, container_id: str = "c") -> None:
        """Signal a container."""
        self.processes.signal(SignalContainer(agent_id="S", container_id=container_id, signal=number))

    def file(self, name: str, container_id: str = "c") -> str:
        """A file of a sandbox."""
        return (self.work_dir / "runs" / container_id / name).read_text()

    async def written(self, name: str, container_id: str = "c") -> str:
        """A file of a sandbox, as soon as there is a line in it."""
        path = self.work_dir / "runs" / container_id / name
        await until(lambda: path.exists() and path.read_text().endswith("\n"))
        return path.read_text()


async def until(true: Callable[[], bool]) -> None:
    """Wait for a condition, not for long."""
    for _ in range(int(PATIENCE / 0.02)):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to this")


def run(work_dir: Path, script: Callable[[Run], Awaitable[None]]) -> None:
    """Run a script with processes; all of them are gone afterwards."""

    async def whole() -> None:
        it = Run(work_dir)
        await it.processes.open()
        try:
            await script(it)
        finally:
            await it.processes.close()

    asyncio.run(whole())


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("command", "status"),
    [("exit 0", 0), ("exit 1", 256), ("exit 77", 77 << 8), ("kill -9 $$", 9), ("kill -TERM $$", 15)],
)
def test_wait_status(tmp_path: Path, command: str, status: int) -> None:
    """The raw status of wait(2) comes through."""

    async def script(it: Run) -> None:
        assert await it.to_its_end(command) == Exited(agent_id="S", container_id="c", wait_status=status)

    run(tmp_path, script)


def test_what_a_process_gets(tmp_path: Path) -> None:
    """Exactly the environment, the sandbox as working directory, output in files, argv as given, a latest link."""

    async def script(it: Run) -> None:
        environment = {"A": "1", "HERE": "{sandbox}/x", "WORK": "{work_dir}", "JSON": '{"a":{}}'}
        code = "import os,sys; print(sorted(os.environ.items()), os.getcwd(), sys.argv, file=sys.stderr); print('ü')"
        await it.to_its_end(("odd name", "-S", "-c", code, "b"), executable=sys.executable, environment=environment)
        sandbox = tmp_path / "runs/c"
        expected = sorted({**environment, "HERE": f"{sandbox}/x", "WORK": str(tmp_path)}.items())
        seen = it.file("stderr")
        assert all(repr(item) in seen for item in expected)
        assert f"{sandbox} ['-c', 'b']" in seen
        assert "PATH" not in seen
        assert it.file("stdout") == "ü\n"
        assert os.readlink(tmp_path / "runs/latest") == "c"

    run(tmp_path, script)


def test_programs_are_looked_for_in_the_path_given(tmp_path: Path) -> None:
    """The path of the process itself counts, not ours."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/own-program"
    program.write_text("#!/bin/sh\nexit 5\n")
    program.chmod(0o755)

    async def script(it: Run) -> None:
        ended = await it.to_its_end(("own-program",), environment={"PATH": f"/nowhere:{tmp_path}/bin"})
        assert ended.wait_status == 5 << 8

    run(tmp_path, script)


def test_a_missing_program(tmp_path: Path) -> None:
    """It starts, says so, and exits with 1, as Mesos's launcher does; the events tell it from any other exit."""

    async def script(it: Run) -> None:
        it.start(("/no/such/program",))
        started = await it.next()
        assert isinstance(started, Started)
        assert started.missing
        assert await it.next() == Exited(agent_id="S", container_id="c", wait_status=256, missing=True)
        assert it.file("stderr") == "Failed to execute command: No such file or directory\n"

    run(tmp_path, script)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_user(tmp_path: Path) -> None:
    """Root runs containers as the user named, and owns nothing in their sandboxes; unknown users fail."""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == 0 and parent not in (Path("/"), Path("/tmp")):
            parent.chmod(0o755)

    async def script(it: Run) -> None:
        await it.to_its_end("id -un; touch mine", user="nobody")
        assert it.file("stdout") == "nobody\n"
        it.start("true", "d", user="no-such-user")
        failed = await it.next()
        assert isinstance(failed, Failed)
        assert failed.message == "Failed to get user information for 'no-such-user': no such user"

    run(tmp_path, script)


def test_a_signal_reaches_the_whole_group(tmp_path: Path) -> None:
    """Children of the process get it too; those that survive its end are killed before the end is told."""

    async def script(it: Run) -> None:
        it.start("sh -c 'trap \"echo inner >>told; exit\" TERM; echo $$ >pid; while :; do sleep 0.05; done' & wait")
        await it.next()
        inner = int(await it.written("pid"))
        it.signal(signal.SIGTERM)
        assert await it.next() == Exited(agent_id="S", container_id="c", wait_status=15)
        await until(lambda: not alive(inner))

    run(tmp_path, script)


def test_blocked_signals_are_not_passed_on(tmp_path: Path) -> None:
    """A cluster that waits for its signals blocks them; its containers must not inherit that."""

    async def script(it: Run) -> None:
        await it.to_its_end(("grep", "SigBlk", "/proc/self/status"))
        assert int(it.file("stdout").split()[1], 16) == 0

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        run(tmp_path, script)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_what_a_container_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """Processes in the background, in groups of their own too, do not outlive the first one."""

    async def script(it: Run) -> None:
        await it.to_its_end("set -m; sleep 600 & echo $! >>pids; sleep 600 & echo $! >>pids; exit 2")
        pids = [int(pid) for pid in it.file("pids").split()]
        assert len(pids) == 2
        await until(lambda: not any(alive(pid) for pid in pids))

    run(tmp_path, script)


def test_signals_for_what_is_not_there(tmp_path: Path) -> None:
    """Unknown and ended containers are no error, and no other process is hit."""

    async def script(it: Run) -> None:
        it.signal(signal.SIGKILL, "nobody")
        await it.to_its_end("true")
        it.signal(signal.SIGKILL)
        assert it.processes.pid("c") is None
        assert (await it.to_its_end("exit 4", container_id="d")).wait_status == 4 << 8

    run(tmp_path, script)


def test_many_at_once(tmp_path: Path) -> None:
    """Every container has its own end, none is lost, none is told twice."""

    async def script(it: Run) -> None:
        for number in range(40):
            it.start(f"exit {number}", f"c{number}")
        told = [await it.next() for _ in range(80)]
        ended = {event.container_id: event.wait_status >> 8 for event in told if isinstance(event, Exited)}
        assert ended == {f"c{number}": number for number in range(40)}
        assert it.events.empty()

    run(tmp_path, script)


# --- fetching ----------------------------------------------------------------------------------------------------


def tar(path: Path, mode: str, name: str = "inner/file") -> None:
    """A tar file with one member."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        member = tarfile.TarInfo(name)
        member.size = 2
        archive.addfile(member, io.BytesIO(b"ok"))


def test_fetch_of_local_files(tmp_path: Path) -> None:
    """By path and as file://, under their own or another name, made executable, extracted or not."""
    source, sandbox = tmp_path / "source", tmp_path / "sandbox"
    source.mkdir()
    sandbox.mkdir()
    (source / "plain").write_text("x")
    for ending, mode in (
        (".tar", "w"),
        (".tar.gz", "w:gz"),
        (".tgz", "w:gz"),
        (".tar.bz2", "w:bz2"),
        (".tbz2", "w:bz2"),
        (".tar.xz", "w:xz"),
        (".txz", "w:xz"),
    ):
        tar(source / f"a{ending}", mode, f"from{ending}")
    with zipfile.ZipFile(source / "a.zip", "w") as packed:
        packed.writestr("from.zip", "ok")
    (source / "single.gz").write_bytes(gzip.compress(b"ok"))
    fetch(
        [
            {"value": f"{source}/plain"},
            {"value": f"file://{source}/plain", "output_file": "deep/other", "executable": True},
            *[{"value": str(path)} for path in sorted(source.glob("a.*"))],
            {"value": f"{source}/single.gz"},
            {"value": f"{source}/a.zip", "output_file": "kept.zip", "extract": False},
        ],
        sandbox,
    )
    assert (sandbox / "plain").read_text() == "x"
    assert not os.access(sandbox / "plain", os.X_OK)
    assert os.access(sandbox / "deep/other", os.X_OK)
    for ending in (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip"):
        assert (sandbox / f"from{ending}").read_text() == "ok"
        assert (sandbox / f"a{ending}").exists()
    assert (sandbox / "single").read_bytes() == b"ok"
    assert (sandbox / "kept.zip").exists()


def test_what_cannot_be_fetched(tmp_path: Path) -> None:
    """Every failure is one error that names the URI."""
    sandbox = tmp_path / "sandbox"
    sandbox.mkdir()
    tar(tmp_path / "evil.tar", "w", "../escaped")
    (tmp_path / "broken.tgz").write_bytes(b"no archive")
    (tmp_path / "broken.zip").write_bytes(b"no archive")
    (tmp_path / "broken.gz").write_bytes(b"no archive")
    for uri in (
        {"value": f"{tmp_path}/missing"},
        {"value": "relative/path"},
        {"value": "hdfs://host/path"},
        {"value": f"{tmp_path}/evil.tar"},
        {"value": f"{tmp_path}/broken.tgz"},
        {"value": f"{tmp_path}/broken.zip"},
        {"value": f"{tmp_path}/broken.gz"},
        {"value": f"{tmp_path}/evil.tar", "output_file": "../escaped"},
        {"value": "/"},
        {"value": "http://127.0.0.1:1/x"},
    ):
        with pytest.raises(FetchFailed, match=f"^Failed to fetch '{uri['value']}': "):
            fetch([uri], sandbox)
    assert not (tmp_path / "escaped").exists()


def test_fetch_over_http(tmp_path: Path) -> None:
    """A 200 is a file, anything else a failure."""

    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/a%20file" else 404)
            self.end_headers()
            self.wfile.write(b"from the net")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            fetch([{"value": f"http://127.0.0.1:{server.server_port}/a%20file"}], tmp_path)
            assert (tmp_path / "a file").read_text() == "from the net"
            with pytest.raises(FetchFailed, match="404"):
                fetch([{"value": f"http://127.0.0.1:{server.server_port}/none"}], tmp_path)
        finally:
            server.shutdown()
            thread.join()


def test_a_container_whose_fetch_fails(tmp_path: Path) -> None:
    """It never starts; the text is that of Mesos's fetcher, the cause is in the sandbox."""

    async def script(it: Run) -> None:
        it.start("true", uris=({"value": f"{tmp_path}/missing"},))
        text = "Failed to fetch all URIs for container 'c': exited with status 1"
        assert await it.next() == Failed(agent_id="S", container_id="c", message=text)
        assert "missing" in it.file("stderr")

    run(tmp_path, script)


def test_volumes_in_a_sandbox(tmp_path: Path) -> None:
    """Persistent volumes outlive containers, and go when they are removed."""

    async def script(it: Run) -> None:
        await it.to_its_end("echo kept >data/file", links=(SandboxLink(path="data", volume="volumes/v1"),))
        await it.to_its_end("cat data/file", container_id="d", links=(SandboxLink(path="data", volume="volumes/v1"),))
        assert it.file("stdout", "d") == "kept\n"
        more = LinkVolumes(agent_id="S", sandbox="runs/d", links=(SandboxLink(path="a/b", volume="volumes/v1"),))
        link_volumes(more, tmp_path)
        link_volumes(more, tmp_path)
        assert it.file("a/b/file", "d") == "kept\n"
        remove_volume(RemoveVolume(agent_id="S", volume="volumes/v1"), tmp_path)
        remove_volume(RemoveVolume(agent_id="S", volume="volumes/v1"), tmp_path)
        assert not (tmp_path / "volumes/v1").exists()

    run(tmp_path, script)


# --- nothing stays -----------------------------------------------------------------------------------------------

DAEMONS = "setsid sh -c 'echo $$ >>pids; exec sleep 600' & sleep 600 & echo $! >>pids; echo $$ >>pids; exec sleep 600"


def test_closing_ends_everything(tmp_path: Path) -> None:
    """Processes that made themselves independent of their container go too."""
    pids: list[int] = []

    async def script(it: Run) -> None:
        it.start(DAEMONS)
        await it.next()
        await until(lambda: (tmp_path / "runs/c/pids").exists() and len(it.file("pids").split()) == 3)
        pids.extend(map(int, it.file("pids").split()))
        assert all(alive(pid) for pid in pids)

    run(tmp_path, script)
    assert len(pids) == 3
    assert not [pid for pid in pids if alive(pid)]


CLUSTER = f"""
import asyncio, sys
from pathlib import Path
from headgate.simulator.messages import StartContainer
from headgate.simulator.processes import Processes

async def main():
    processes = Processes(lambda event: print(event, flush=True))
    await processes.open()
    processes.start(StartContainer(agent_id="S", container_id="c", executable="/bin/sh",
        argv=("sh", "-c", {DAEMONS!r}), environment={PATH!r}, sandbox="runs/c"), Path(sys.argv[1]))
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_no_orphan_survives_a_cluster_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL leaves no time for cleaning up, and still nothing stays."""
    with subprocess.Popen([sys.executable, "-c", CLUSTER, str(tmp_path)], stdout=subprocess.PIPE) as cluster:
        asyncio.run(
            until(
                lambda: (tmp_path / "runs/c/pids").exists() and (tmp_path / "runs/c/pids").read_text().count("\n") == 3
            )
        )
        pids = [int(line) for line in (tmp_path / "runs/c/pids").read_text().split()]
        assert all(alive(pid) for pid in pids)
        cluster.send_signal(signal.SIGKILL)
        cluster.wait()
    asyncio.run(until(lambda: not any(alive(pid) for pid in pids)))


def test_a_killed_warden_is_noticed(tmp_path: Path) -> None:
    """Its containers go with it, and their end is told."""

    async def script(it: Run) -> None:
        it.start("exec sleep 600")
        started = await it.next()
        assert isinstance(started, Started)
        warden = int(Path(f"/proc/{started.pid}/stat").read_text().rpartition(") ")[2].split()[1])
        os.kill(warden, signal.SIGKILL)
        assert await it.next() == Exited(agent_id="S", container_id="c", wait_status=9)
        await until(lambda: not alive(started.pid))
        it.start("true", "d")
        text = "The process that starts containers is gone"
        assert await it.next() == Failed(agent_id="S", container_id="d", message=text)

    run(tmp_path, script)
