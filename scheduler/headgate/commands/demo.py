"""`headgate demo`: the main job, start to end, with a killed worker and the answer checked."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("demo", context_settings={"show_default": True})
@click.option("--seed", type=int, default=1, help="Decides when which worker is killed.")
@click.option("--full-speed", is_flag=True, help="No rate limit; prints the throughput.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep log, output, checkpoints and sandboxes in this new folder.  [default: a temporary one]",
)
def demo_command(seed: int, full_speed: bool, folder: Path | None) -> int:
    """See it work: real data, a killed worker, the right answer.

    A feeder appends the flights of 2013 to a partitioned log, faster than one worker reads.  The scheduler takes offers
    of an embedded cluster, starts workers as the backlog grows and lets them go as it drains.  One worker is killed
    on the way.  At the end the job's answer is compared with one Polars query over the whole data: the last line is
    `equal: yes` or `equal: no (…)`, and the exit code 0 only for yes.
    """
    from headgate.adapters.terminal import console
    from headgate.errors import StartFailed

    try:
        from headgate.demo.show import Wish, play
    except ModuleNotFoundError as missing:
        raise StartFailed(f"the demo needs {missing.name}: pip install 'headgate[demo]'") from missing

    return 0 if play(Wish(seed=seed, full_speed=full_speed, folder=folder), console()) else 1
