"""`headgate run`: one job on a cluster of its own, in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.commands.options import JOB_FILE, no_check_option


@click.command("run", context_settings={"show_default": True})
@click.argument("job_file", type=JOB_FILE)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where its state is kept between runs.  [default: .headgate/<job>]",
)
@click.option("--agents", type=click.IntRange(1, 26), default=2, help="Agents of the cluster.")
@click.option("--fresh", is_flag=True, help="Forget the state of an earlier run, and begin at the beginning.")
@click.option("--listen", default="127.0.0.1:0", metavar="HOST:PORT", help="Where the API answers; port 0: a free one.")
@no_check_option
def run_command(job_file: Path, data_dir: Path | None, agents: int, fresh: bool, listen: str, no_check: bool) -> int:
    """Run a job here, on a cluster of its own, until it ends.

    A simulated Mesos and a scheduler in this process start real worker processes.  The exit code is 0 when the job is
    completed and 1 when it failed.

    Ctrl-C stops the job after its last checkpoints; the next run goes on from there, and may bring a changed program.
    The run after one that completed the job begins anew: it reads all input again and replaces the results in files.
    """
    from headgate.adapters.api_server import read_address
    from headgate.adapters.terminal import console
    from headgate.commands.local_run import LocalRun
    from headgate.commands.preparation import prepare

    prepared = prepare(job_file, check=not no_check)
    folder = data_dir or Path(".headgate") / prepared.spec.name
    run = LocalRun(prepared.spec, prepared.bundle, folder, agents=agents, listen=read_address(listen))
    if fresh:
        run.forget()
    sinks = prepared.program.sinks if prepared.program else ()
    return run.show(console(), results=sinks)
