"""`headgate doctor`: what is wrong between a scheduler with these options and the cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headgate.commands.exits import ExitCode, coloured
from headgate.commands.master_options import master_options
from headgate.commands.options import json_option, print_json, read_secret

if TYPE_CHECKING:
    from headgate.model.finding import Finding

_COLOURS = {"ok": "green", "failed": "red", "unknown": "yellow"}


@click.command("doctor", context_settings={"show_default": True})
@master_options
@click.option(
    "--store",
    envvar="HEADGATE_STORE",
    show_envvar=True,
    metavar="STORE",
    help="As for serve.  [default: sqlite in --data-dir]",
)
@click.option(
    "--zk-auth-file",
    envvar="HEADGATE_ZK_AUTH_FILE",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="File with user:password for the store's ZooKeeper.",
)
@click.option(
    "--data-dir",
    envvar="HEADGATE_DATA_DIR",
    show_envvar=True,
    default=".headgate/serve",
    type=click.Path(path_type=Path, file_okay=False),
    help="As for serve.",
)
@click.option("--role", envvar="HEADGATE_ROLE", show_envvar=True, default="*", help="A role to register with.")
@click.option("--user", envvar="HEADGATE_USER", show_envvar=True, help="The user that workers run as.")
@click.option(
    "--worker-python",
    envvar="HEADGATE_WORKER_PYTHON",
    show_envvar=True,
    default="python3",
    metavar="PATH",
    help="The agents' Python with millstream, for workers without an image.",
)
@json_option
def doctor_command(as_json: bool, **given: Any) -> int:
    """Say what keeps a scheduler with these options out, line by line.

    Takes the options of serve.  It registers a framework named headgate-doctor for a moment, without taking offers, as
    only the master can say whether role, principal and user will do; the store is read and not written.

    Exits with 0 if all is well, 1 if something is wrong, 3 if no master (or ZooKeeper) answers.
    """
    # What the drivers log would come between the lines that say it better.
    logging.getLogger().addHandler(logging.NullHandler())
    findings = []
    for finding in _examine(given):
        findings.append(finding)
        if not as_json:
            _print(finding)
    code = _code(findings)
    if as_json:
        print_json({"healthy": code is ExitCode.OK, "checks": findings})
    return code


def _examine(given: dict[str, Any]) -> Iterator[Finding]:
    from dataclasses import replace

    from headgate.adapters.checkup import examine_masters
    from headgate.adapters.checkup_store import examine_store
    from headgate.adapters.clock import SystemClock
    from headgate.adapters.mesos_access import access_through, find_masters
    from headgate.model.finding import Check, unknown
    from headgate.service_options import default_framework

    doors, clock = given["doors"], SystemClock()
    framework = default_framework(role=given["role"], user=given["user"])
    access = access_through(doors, clock)
    masters = find_masters(given["master"], tls=doors.tls)
    yield from examine_masters(
        masters,
        access,
        replace(framework, principal=doors.registered_principal),
        clock=clock,
        through_zookeeper=given["master"].startswith("zk://"),
    )
    zk_auth = read_secret(given["zk_auth_file"], "--zk-auth-file")
    yield examine_store(given["store"], given["data_dir"].resolve(), clock=clock, zk_auth=zk_auth)
    python = given["worker_python"]
    yield unknown(
        Check.WORKERS,
        f"whether {python} on the agents has millstream cannot be seen from here",
        f'on an agent, as the workers\' user: {python} -c "import millstream"; jobs with an image do not need it',
    )


def _print(finding: Finding) -> None:
    word = finding.verdict.value
    click.echo(f"{coloured(f'{word:<8}', _COLOURS[word])} {finding.check.value:<12} {finding.text}")
    if finding.mend is not None:
        click.echo(f"{'':<22}→ {finding.mend}")


def _code(findings: list[Finding]) -> ExitCode:
    from headgate.model.finding import Check, Verdict

    wrong = [finding.check for finding in findings if finding.verdict is Verdict.FAILED]
    if not wrong:
        return ExitCode.OK
    return ExitCode.UNREACHABLE if {Check.MASTER, Check.ZOOKEEPER}.intersection(wrong) else ExitCode.FAILED
