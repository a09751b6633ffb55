"""Commands that change and show jobs of a running scheduler; `explain` has a module of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headgate.commands.options import JOB_FILE, api_options, json_option, no_check_option, print_json
from headgate.model.command import Receipt

if TYPE_CHECKING:
    from headgate.adapters.api_client import ApiClient
    from headgate.model.waiting import DryRun

_TRIES_FOLLOWING = 60
"""Seconds that a change of leader may take before following a job ends."""


@click.command("submit")
@click.argument("job_file", type=JOB_FILE)
@click.option("--dry-run", is_flag=True, help="Only say which workers would start where, and why others would wait.")
@no_check_option
@api_options
@json_option
def submit_command(job_file: Path, dry_run: bool, no_check: bool, as_json: bool, client: ApiClient) -> None:
    """Check a job, ship its program, and have it run.

    Nothing is submitted unless the job file is right and the program loads.
    """
    from headgate.commands.preparation import prepare

    prepared = prepare(job_file, check=not no_check)
    if dry_run:
        _print_dry_run(client.dry_run(prepared.document), as_json)
        return
    receipt = client.submit(prepared.document, prepared.bundle)
    _print_receipt(receipt, as_json, then=f"follow it with: headgate status {receipt.job} --follow")


@click.command("list")
@api_options
@json_option
def list_command(as_json: bool, client: ApiClient) -> None:
    """Show all jobs, one line each."""
    jobs = client.jobs()
    if as_json:
        print_json(jobs)
        return
    if not jobs:
        click.echo("no jobs yet; submit one with: headgate submit job.yaml")
        return
    from headgate.adapters.terminal import console
    from headgate.adapters.terminal_live import disaster_line
    from headgate.adapters.terminal_tables import jobs_table

    view = client.view()
    if view.disaster is not None:
        console().print(disaster_line(view.disaster))
    console().print(jobs_table(jobs, at=view.at))


@click.command("status")
@click.argument("name")
@click.option("--follow", "-f", is_flag=True, help="Go on showing it until the job is over, or Ctrl-C.")
@api_options
@json_option
def status_command(name: str, follow: bool, as_json: bool, client: ApiClient) -> int:
    """Show one job: workers, shards, backlog, checkpoints, what happened.

    With --follow the exit code is 1 if the job failed.
    """
    if as_json:
        print_json(client.job(name))
        return 0
    from headgate.adapters.terminal import console, follow_job
    from headgate.adapters.terminal_live import LiveView
    from headgate.adapters.terminal_text import dead_letters_text
    from headgate.model.record import JobState

    screen = console()
    client.job(name)
    ended = None
    if follow:
        ended = follow_job(screen, name, lambda: client.view(tries=_TRIES_FOLLOWING))
    else:
        screen.print(LiveView(name).draw(client.view(), width=screen.width))
    text = dead_letters_text(client.job(name), "<data dir of the scheduler>/checkpoints")
    if text:
        screen.print(text, style="yellow", markup=False, soft_wrap=True)
    return 1 if ended is JobState.FAILED else 0


@click.command("scale")
@click.argument("name")
@click.argument("workers", metavar="WORKERS|auto")
@api_options
@json_option
def scale_command(name: str, workers: str, as_json: bool, client: ApiClient) -> None:
    """Set a job's number of workers; `auto` gives it back to the scaling policy."""
    if workers != "auto" and not (workers.isascii() and workers.isdigit()):
        raise click.BadParameter(f"{workers!r} is neither a whole number nor auto", param_hint="WORKERS")
    _print_receipt(client.scale(name, None if workers == "auto" else int(workers)), as_json)


@click.command("pause")
@click.argument("name")
@api_options
@json_option
def pause_command(name: str, as_json: bool, client: ApiClient) -> None:
    """Let a job rest: its workers make their last checkpoints and end.

    It keeps its state and its name; `headgate resume` lets it go on from there.
    """
    _print_receipt(client.pause(name), as_json)


@click.command("resume")
@click.argument("name")
@api_options
@json_option
def resume_command(name: str, as_json: bool, client: ApiClient) -> None:
    """Let a job that rests go on from its last checkpoints."""
    _print_receipt(client.resume(name), as_json)


@click.command("restart")
@click.argument("name")
@api_options
@json_option
def restart_command(name: str, as_json: bool, client: ApiClient) -> None:
    """Replace a job's workers, a few at a time.

    The next ones are replaced when the ones before are ready; `upgrade.max_unavailable` says how many at once.
    """
    _print_receipt(client.restart(name), as_json)


@click.command("cancel")
@click.argument("name")
@api_options
@json_option
def cancel_command(name: str, as_json: bool, client: ApiClient) -> None:
    """Stop a job: its workers make their last checkpoints and end.

    The checkpoints stay; a job submitted again under the name goes on from them.
    """
    _print_receipt(client.cancel(name), as_json)


def _print_receipt(receipt: Receipt, as_json: bool, then: str | None = None) -> None:
    if as_json:
        print_json(receipt)
        return
    click.echo(receipt.text)
    if then is not None:
        click.echo(then)


def _print_dry_run(found: DryRun, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    from headgate.adapters.terminal import console
    from headgate.adapters.terminal_why import tried

    console().print(tried(found))
