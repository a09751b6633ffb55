"""`headgate serve`: the scheduler, until a signal ends it."""

from __future__ import annotations

import logging
import re
import signal
from pathlib import Path
from typing import Any

import click

from headgate.commands.master_options import master_options
from headgate.commands.options import read_secret

log = logging.getLogger(__name__)

_GPU_POLICIES = {"kept": "kept", "always-kept": "always kept", "open": "open"}
"""As the option says it, and as `GpuPolicy` does."""


@click.command("serve", context_settings={"show_default": True})
@master_options
@click.option(
    "--store",
    envvar="HEADGATE_STORE",
    show_envvar=True,
    metavar="STORE",
    help="What survives a restart: zk://host:2181,…/headgate for several schedulers of which one leads, "
    "sqlite:PATH for one, or memory (nothing).  [default: sqlite in --data-dir]",
)
@click.option(
    "--zk-auth-file",
    envvar="HEADGATE_ZK_AUTH_FILE",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="File with user:password for the store's ZooKeeper; nobody else can then read what is kept there.",
)
@click.option(
    "--zk-session-timeout",
    envvar="HEADGATE_ZK_SESSION_TIMEOUT",
    show_envvar=True,
    default="10s",
    metavar="DURATION",
    help="After this long without a sign of the leader another one leads; between 2 and 20 ticks of ZooKeeper.",
)
@click.option(
    "--data-dir",
    envvar="HEADGATE_DATA_DIR",
    show_envvar=True,
    default=".headgate/serve",
    type=click.Path(path_type=Path, file_okay=False),
    help="Bundles, and checkpoints of jobs without a store of their own; then all agents must see it as one folder.",
)
@click.option(
    "--listen",
    envvar="HEADGATE_LISTEN",
    show_envvar=True,
    default="127.0.0.1:10480",
    metavar="HOST:PORT",
    help="Where the API answers; beyond loopback it needs a token.",
)
@click.option(
    "--advertise",
    envvar="HEADGATE_ADVERTISE",
    show_envvar=True,
    metavar="URL",
    help="Where agents reach the API, to fetch bundles, and other schedulers, to pass on calls.  "
    "[default: that of --listen]",
)
@click.option(
    "--api-token-file",
    envvar="HEADGATE_API_TOKEN_FILE",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="File with the token that the API asks for.",
)
@click.option(
    "--framework-name",
    envvar="HEADGATE_FRAMEWORK_NAME",
    show_envvar=True,
    default="headgate",
    help="As Mesos shows it.",
)
@click.option(
    "--role",
    envvar="HEADGATE_ROLE",
    show_envvar=True,
    default="*",
    help="A role to register with, besides those of the jobs.",
)
@click.option(
    "--user",
    envvar="HEADGATE_USER",
    show_envvar=True,
    help="The user of the agents that workers run as.  [default: who runs this]",
)
@click.option(
    "--worker-python",
    envvar="HEADGATE_WORKER_PYTHON",
    show_envvar=True,
    default="python3",
    metavar="PATH",
    help="The agents' Python with millstream, for workers without an image.",
)
@click.option(
    "--driver",
    envvar="HEADGATE_DRIVER",
    show_envvar=True,
    type=click.Choice(["headgate", "pymesos"]),
    default="headgate",
    help="What speaks to the masters: our own driver, or pymesos where it is installed.",
)
@click.option(
    "--failover-timeout",
    envvar="HEADGATE_FAILOVER_TIMEOUT",
    show_envvar=True,
    default="7d",
    metavar="DURATION",
    help="How long the master keeps our tasks while no scheduler is there.",
)
@click.option(
    "--gpu-agents",
    envvar="HEADGATE_GPU_AGENTS",
    show_envvar=True,
    type=click.Choice(list(_GPU_POLICIES)),
    default="kept",
    help="What work without GPUs may do on agents with GPUs: kept – run there only if no other agent known could ever "
    "run it; always-kept – never; open – run there like anywhere else.",
)
@click.option(
    "--disaster-share",
    envvar="HEADGATE_DISASTER_SHARE",
    show_envvar=True,
    default="20%",
    metavar="PERCENT|off",
    help="When this share of all workers (and at least ten) or of all agents (and at least three) is lost within two "
    "minutes, kills, scaling down and restarts wait until it has been calm for a minute.",
)
@click.option(
    "--forget-framework",
    envvar="HEADGATE_FORGET_FRAMEWORK",
    show_envvar=True,
    metavar="ID",
    help="Register anew if the store holds this framework id, which Mesos has removed; jobs and checkpoints stay.",
)
@click.option(
    "--log-level",
    envvar="HEADGATE_LOG_LEVEL",
    show_envvar=True,
    type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"], case_sensitive=False),
    default="INFO",
    help="The least that is logged.",
)
@click.option(
    "--log-format",
    envvar="HEADGATE_LOG_FORMAT",
    show_envvar=True,
    type=click.Choice(["text", "json"]),
    default="text",
    help="How lines of the log look.",
)
def serve_command(**given: Any) -> int:
    """Run the scheduler against a Mesos master.

    It ends well at SIGTERM or Ctrl-C: tasks run on, and the next start on the same store takes them over under the same
    framework id.  Several may run on one store: one leads, the others stand by and pass on what they are asked.
    """
    from headgate.adapters.logs import log_to_stream
    from headgate.main import Service

    log_to_stream(level=given["log_level"].upper(), as_json=given["log_format"] == "json")
    with Service(_options(given)) as service:
        stop_at_signals(service)
        service.wait()
        log.info("asked to end: tasks run on, for the next start on this store")
    return 0


def stop_at_signals(service: Any) -> None:
    """Let SIGTERM and SIGINT end the wait for the service; a second one does no harm."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.end())


def _options(given: dict[str, Any]) -> Any:
    from dataclasses import replace

    from headgate.adapters.api_server import read_address
    from headgate.core.units import find_seconds
    from headgate.model.ids import FrameworkId
    from headgate.model.settings import Disaster, GpuPolicy
    from headgate.service_options import Options, default_framework

    def seconds(option: str) -> float:
        text = given[option.lstrip("-").replace("-", "_")]
        found = find_seconds(text)
        if not found:
            raise click.BadParameter(f"{text!r} is not a duration; write 30s, 5m, 2h or 7d", param_hint=option)
        return found

    def disaster() -> Disaster:
        text = given["disaster_share"]
        if text == "off":
            return Disaster(enabled=False)
        found = re.fullmatch(r"(\d{1,3})\s*%", text)
        if found is None or not 1 <= int(found[1]) <= 100:
            raise click.BadParameter(f"{text!r} is no share; write 1% to 100%, or off", param_hint="--disaster-share")
        share = int(found[1]) / 100
        return Disaster(workers_share=share, agents_share=share)

    framework = replace(
        default_framework(role=given["role"], user=given["user"]),
        name=given["framework_name"],
        principal=given["doors"].registered_principal,
        failover_timeout_s=seconds("--failover-timeout"),
    )
    return Options(
        master=given["master"],
        store=given["store"],
        zk_auth=read_secret(given["zk_auth_file"], "--zk-auth-file"),
        zk_session_s=seconds("--zk-session-timeout"),
        data_dir=given["data_dir"],
        framework=framework,
        listen=read_address(given["listen"]),
        advertise=given["advertise"],
        token=read_secret(given["api_token_file"], "--api-token-file"),
        doors=given["doors"],
        pymesos=given["driver"] == "pymesos",
        worker_python=given["worker_python"],
        gpus=GpuPolicy(_GPU_POLICIES[given["gpu_agents"]]),
        disaster=disaster(),
        forget_framework=FrameworkId(given["forget_framework"]) if given["forget_framework"] else None,
    )
