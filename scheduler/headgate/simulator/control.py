"""A socket through which another program does to a cluster what happens to processes.

One request a connection: a line `VERB [AGENT]`; the answer is the line `ok` when it is done, else what is wrong.
"""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headgate.simulator.embedded import EmbeddedCluster

AGENT_VERBS = ("pause-agent", "resume-agent", "kill-agent", "start-agent", "reset-agent")


def obey(cluster: EmbeddedCluster, request: str) -> str:
    """Do what a request says; what to answer."""
    verb, *agents = request.split()
    try:
        if verb in AGENT_VERBS and len(agents) == 1:
            getattr(cluster, verb.replace("-", "_"))(agents[0])
        elif verb == "restart-master" and not agents:
            cluster.restart_master()
        else:
            return f"not understood: {request.strip()!r}; there are {', '.join(AGENT_VERBS)} AGENT, and restart-master"
    except ValueError as fault:
        return str(fault)
    return "ok"


@contextmanager
def listening(cluster: EmbeddedCluster, path: Path) -> Iterator[None]:
    """Obey on a Unix socket at `path` until the end of the block."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            answer = obey(cluster, self.rfile.readline().decode("utf-8", "replace") or "nothing")
            self.wfile.write(answer.encode() + b"\n")

    path.unlink(missing_ok=True)
    with socketserver.UnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            path.unlink(missing_ok=True)
