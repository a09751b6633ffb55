"""What an operator says when starting a scheduler, what holds when nothing is said, and what makes no sense."""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from headgate.adapters.api_server import Address
from headgate.adapters.mesos_access import Doors
from headgate.errors import BadOption, StartFailed
from headgate.model.call import Framework
from headgate.model.ids import FrameworkId
from headgate.model.settings import Disaster, GpuPolicy

DEFAULT_LISTEN: Final = Address(host="127.0.0.1", port=10480)
TRIAL_S: Final = 600.0
"""For so long a master keeps a framework that it has just registered, until it is told that the id is saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an operator says when starting a scheduler.

    `master` is `host:port,…`, `http(s)://…` or `zk://…/mesos`; `store` is `zk://…/headgate`, `sqlite:PATH`, `memory`,
    or None for SQLite in `data_dir`.  `zk_auth` is `user:password` for the store's ZooKeeper, `zk_session_s` the time
    after which its servers give us up.  `data_dir` also keeps bundles, and checkpoints of jobs that name no store of
    their own.  `advertise` is the URL under which agents fetch bundles, and other schedulers reach the API; None: that
    of `listen`.  `token` is what the API asks for.  `doors` is how we are let in at the masters.
    With `pymesos` that library speaks to them, in place of our own driver.  `forget_framework` is the id of a framework
    that is no more, to start anew.
    """

    master: str
    data_dir: Path
    framework: Framework
    store: str | None = None
    zk_auth: str | None = field(default=None, repr=False)
    zk_session_s: float = 10.0
    listen: Address = DEFAULT_LISTEN
    advertise: str | None = None
    token: str | None = None
    doors: Doors = field(default_factory=Doors)
    worker_python: str = "python3"
    pymesos: bool = False
    gpus: GpuPolicy = GpuPolicy.KEPT
    disaster: Disaster = field(default_factory=Disaster)
    forget_framework: FrameworkId | None = None


def require_token_beyond_loopback(options: Options) -> None:
    """Whoever reaches the API can run programs on the cluster.

    Raises:
        StartFailed: others can reach it, and no token is set.
    """
    if options.token is None and not options.listen.loopback:
        raise BadOption(
            f"--listen {options.listen} lets others reach the API, and whoever reaches it can run programs on the "
            "cluster: set --api-token-file, or listen at 127.0.0.1"
        )


def default_framework(*, role: str = "*", user: str | None = None) -> Framework:
    """What we say of ourselves when nobody says otherwise; tasks run as the user of this process.

    Raises:
        StartFailed: this process runs as a user without a name, as in many containers, and no other is given.
    """
    try:
        user = user or getpass.getuser()
        return Framework(user=user, roles=(role,), hostname=socket.gethostname(), trial_s=TRIAL_S)
    except (KeyError, OSError) as problem:
        text = f"the user {os.getuid()} of this process has no name, so workers cannot run as it on the agents"
        raise StartFailed(f"{text}: set --user or HEADGATE_USER") from problem


def own_names(options: Options) -> frozenset[str]:
    """The host names under which the API is asked for."""
    advertised = urlsplit(options.advertise).hostname if options.advertise else None
    return frozenset(name.lower() for name in (options.listen.host, advertised) if name)
