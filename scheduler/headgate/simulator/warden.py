"""The parent of all containers: a small process that outlives the cluster by just as long as it takes to end them.

Run as a script with the number of an inherited socket.  It reads and writes one JSON object a line:

    → {"op": "start", "id", "executable", "argv", "environment", "directory", "user": null | [uid, gid, [groups]]}
    → {"op": "signal", "id", "signal"}
    ← {"event": "started", "id", "pid", "missing": whether the program could not be executed}
    ← {"event": "failed", "id", "message"}
    ← {"event": "exited", "id", "status": raw wait status}

Every container is a session of its own.  When its first process ends, whatever is left of the session is killed, then
the end is told.  Only this process reaps, so a signal can never reach a number that has passed to someone else.

As a subreaper it inherits what its containers leave behind.  When the socket ends, because the cluster closed it or
died by whatever means, it kills all its descendants and ends.  Should it be killed itself, the first process of each
container goes with it.

Standard library only, no imports from this project: it is started with `python -I -S`.
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
END_SECONDS_MAX = 10
_LIBC = ctypes.CDLL(None, use_errno=True)


class Warden:
    """The loop: the socket, and the ends of children."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pids: dict[str, int] = {}
        self._ids: dict[int, str] = {}

    def run(self) -> None:
        """Serve until the socket ends, then end everything."""
        _LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        wake, woken = socket.socketpair()
        for end in (wake, woken):
            end.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        selector = selectors.DefaultSelector()
        selector.register(self._sock, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        buffer = b""
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if wake in ready:
                wake.recv(4096)
                self._reap()
            if self._sock in ready:
                data = self._receive()
                if not data:
                    break
                *lines, buffer = (buffer + data).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
        _end_all_descendants()

    def _receive(self) -> bytes:
        try:
            return self._sock.recv(1 << 20)
        except ConnectionError:
            return b""

    def _tell(self, event: str, container: str, **more: Any) -> None:
        try:
            self._sock.sendall(json.dumps({"event": event, "id": container, **more}).encode() + b"\n")
        except OSError:
            return  # the cluster is gone; the next read says so

    def _obey(self, order: dict[str, Any]) -> None:
        container = order["id"]
        if order["op"] == "start":
            self._start(container, order)
        elif container in self._pids:
            signal_session(self._pids[container], order["signal"])

    def _start(self, container: str, order: dict[str, Any]) -> None:
        reading, writing = os.pipe()
        try:
            pid = os.fork()
        except OSError as fault:
            os.close(reading)
            os.close(writing)
            self._tell("failed", container, message=f"Failed to fork: {fault.strerror}")
            return
        if pid == 0:
            _become(order, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            missing = bool(pipe.read())
        self._pids[container], self._ids[pid] = pid, container
        self._tell("started", container, pid=pid, missing=missing)

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            container = self._ids.pop(pid, None)
            if container is not None:
                signal_session(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if container is not None:
                del self._pids[container]
                self._tell("exited", container, status=status)


def _become(order: dict[str, Any], failure: int) -> None:
    """In the child: turn into the program, or say why not and exit as Mesos's launcher does.  Never returns."""
    try:
        os.setsid()
        os.chdir(order["directory"])
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
        if order["user"]:
            uid, gid, groups = order["user"]
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
        parent = os.getppid()
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        for number in (signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(order["executable"], order["argv"], order["environment"])
    except OSError as fault:
        os.write(2, f"Failed to execute command: {fault.strerror}\n".encode())
        os.write(failure, b"!")
    finally:
        os._exit(1)


def signal_session(leader: int, number: int) -> None:
    """Send a signal to a session of ours whose leader has not been reaped, and to nobody else."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
    for pid in _numbers():
        stat = _stat(pid)
        if stat is None or int(stat[3]) != leader or int(stat[2]) == leader:
            continue
        try:
            process = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            stat = _stat(pid)  # the same process as that of the descriptor: it holds the number
            if stat is not None and int(stat[3]) == leader:
                signal.pidfd_send_signal(process, number)
        except OSError:
            pass
        finally:
            os.close(process)


def _end_all_descendants() -> None:
    """Kill children until there are none; what they leave behind becomes ours, and goes the same way.

    Only children: their numbers stay theirs until they are reaped here.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(END_SECONDS_MAX)
    own = os.getpid()
    while True:
        for pid in _numbers():
            stat = _stat(pid)
            if stat is not None and int(stat[1]) == own:
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _numbers() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> list[bytes] | None:
    """State, parent, group, session, … of a process; None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return None


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as control:
        Warden(control).run()
