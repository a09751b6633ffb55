"""Commands that read a job's checkpoint store, whether the job runs or not; no scheduler is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from headgate.commands.options import print_json

if TYPE_CHECKING:
    from headgate.adapters.state_reader import Answer

_F = TypeVar("_F", bound=Callable[..., Any])

_lines_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line, for programs.")
_limit_option = click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows of the table; --json prints all."
)
_reason_option = click.option("--reason", metavar="TEXT", help="Only those whose reason has this text in it.")


def _of_job(command: _F) -> _F:
    """Adds STORE, JOB and --shard."""
    with_shard = click.option("--shard", help="Only this shard.")(command)
    return click.argument("store")(click.argument("job")(with_shard))


@click.command("checkpoints")
@_of_job
@click.option("--verify", is_flag=True, help="Also read all state files, and say which are missing or altered.")
@_lines_option
def checkpoints_command(store: str, job: str, shard: str | None, verify: bool, as_json: bool) -> None:
    """List the checkpoints that a job has, by shard, newest first.

    STORE is the job's checkpoint.store, or the folder `checkpoints` in the data dir.
    """
    answer = _ask("checkpoints", store, job, {"shard": shard, "verify": verify}, as_json=as_json)
    if as_json:
        return
    if not answer.rows:
        click.echo("no checkpoint yet")
        return
    from headgate.adapters.clock import SystemClock
    from headgate.adapters.terminal_state import checkpoints_table, print_table

    print_table(checkpoints_table(answer.rows, at=SystemClock().now()))


@click.command("state")
@_of_job
@click.option("--checkpoint", type=int, help="This one of the shard's checkpoints, not the newest.")
@click.option(
    "--role",
    type=click.Choice(["windows", "shown", "keyed", "timers"]),
    help="Windows, what was shown of sliding windows, what .process keeps by key, or its timers.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write all rows to this Parquet file.")
@_limit_option
@_lines_option
def state_command(store: str, job: str, out: Path | None, limit: int, as_json: bool, **chosen: Any) -> None:
    """Show what a job remembers, from its newest checkpoints: windows, or what is kept by key.

    STORE is the job's checkpoint.store, or the folder `checkpoints` in the data dir.  Aggregates are shown as they are
    kept, such as `delay.sum` and `delay.n` of a mean.
    """
    if out is not None and as_json:
        raise click.UsageError("either --json or --out")
    options = {**chosen, "limit": None if as_json or out else limit, "out": out}
    answer = _ask("read", store, job, options, as_json=as_json)
    if as_json or out is not None:
        return
    if not answer.rows:
        click.echo("nothing is kept: the program has no windows and no .process, or all of them are empty")
        return
    from headgate.adapters.terminal_state import print_table, rows_table

    print_table(rows_table(answer.rows))


@click.command("dead-letters")
@_of_job
@_reason_option
@_limit_option
@_lines_option
def dead_letters_command(
    store: str, job: str, shard: str | None, reason: str | None, limit: int, as_json: bool
) -> None:
    """List the records that a job could not process, with position and reason.

    STORE is the job's checkpoint.store, or the folder `checkpoints` in the data dir.  `headgate replay` writes them out
    for another run.
    """
    options = {"shard": shard, "reason": reason, "limit": None if as_json else limit}
    answer = _ask("dead-letters", store, job, options, as_json=as_json)
    if as_json:
        return
    if not answer.rows:
        click.echo("no dead letters" if shard is None and reason is None else "no such dead letters")
        return
    from headgate.adapters.terminal_state import dead_letters_table, print_table

    print_table(dead_letters_table(answer.rows))


@click.command("replay")
@_of_job
@_reason_option
@click.option("--to", "into", required=True, metavar="DIR", help="The folder to make; it must not be there yet.")
@click.option(
    "--without", multiple=True, metavar="DIR", help="Leave out what the replay in this folder wrote; may be repeated."
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON, for programs.")
def replay_command(
    store: str,
    job: str,
    shard: str | None,
    reason: str | None,
    into: str,
    without: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write dead letters out as they were read, for a mended program: one file of lines per shard.

    STORE is the job's checkpoint.store, or the folder `checkpoints` in the data dir.  The dead letters themselves stay.
    Exactly those are written that `headgate dead-letters` lists with the same options; DIR/_replayed.json says which.
    """
    options = {"shard": shard, "reason": reason, "to": into, "without": without}
    answer = _ask("replay", store, job, options, as_json=False)
    (done,) = answer.rows
    if as_json:
        print_json(done)
        return
    for letter in done["left_out"]:
        click.echo(f"left out: shard {letter['shard']}, position {letter['position']}: {letter['why']}", err=True)
    if not done["files"]:
        click.echo("there is no such dead letter to write; nothing was made")
        return
    records = sum(file["records"] for file in done["files"])
    click.echo(f"{records} records in {len(done['files'])} files; let a mended program read {into}/*.jsonl")


def _ask(command: str, store: str, job: str, options: Mapping[str, object], *, as_json: bool) -> Answer:
    """What `millstream.state` answers; its remarks are told."""
    from headgate.adapters.state_reader import ask_state

    answer = ask_state(command, store, job, options, print_rows=as_json)
    for remark in answer.remarks:
        click.echo(remark, err=True)
    return answer
