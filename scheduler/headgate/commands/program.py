"""The `headgate` program: its commands, grouped as its help shows them.

Each command lives in a module of its own beside this one, which is loaded when the command is used.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import click

from headgate.commands.exits import EXIT_CODES_HELP, guarded


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: the module of `headgate.commands` it is in, and its line in the help."""

    module: str
    summary: str


COMMANDS: dict[str, dict[str, Entry]] = {
    "On this machine": {
        "run": Entry("run", "Run a job here, on a cluster of its own, until it ends."),
        "demo": Entry("demo", "See it work: real data, a killed worker, the right answer."),
    },
    "Job files": {
        "validate": Entry("job_files", "Check a job file and its program; change nothing."),
        "schema": Entry("job_files", "Print the JSON Schema of job files."),
    },
    "Jobs on a cluster": {
        "submit": Entry("jobs", "Check a job, ship its program, and have it run."),
        "list": Entry("jobs", "Show all jobs."),
        "status": Entry("jobs", "Show one job: workers, shards, backlog, checkpoints."),
        "explain": Entry("explain", "Say why a job is as it is, and what it waits for."),
        "agents": Entry("explain", "Show the agents, and what became of their offers."),
        "scale": Entry("jobs", "Set a job's number of workers, or let the policy."),
        "pause": Entry("jobs", "Let a job rest, its state kept."),
        "resume": Entry("jobs", "Let a job that rests go on."),
        "restart": Entry("jobs", "Replace a job's workers, a few at a time."),
        "cancel": Entry("jobs", "Stop a job after its last checkpoints."),
    },
    "What a job keeps": {
        "checkpoints": Entry("stored_state", "List the checkpoints that a job has."),
        "state": Entry("stored_state", "Show what a job remembers: windows, keys, timers."),
        "dead-letters": Entry("stored_state", "List the records that could not be processed."),
        "replay": Entry("stored_state", "Write dead letters out for a mended program."),
    },
    "The scheduler": {
        "serve": Entry("serve", "Run the scheduler against a Mesos master."),
        "doctor": Entry("doctor", "Say what keeps a scheduler out of a cluster."),
    },
}


class Program(click.Group):
    """Loads commands when they are used, and lists them in groups."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All of them, in the order of the help."""
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """The command of that name, from its module."""
        for group in COMMANDS.values():
            if cmd_name in group:
                module = importlib.import_module(f"headgate.commands.{group[cmd_name].module}")
                found: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
                return found
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a guess for a mistyped command."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            from headgate.core.mistakes import did_you_mean

            ctx.fail(f"there is no command {args[0]}{did_you_mean(args[0], known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """One section per group."""
        for title, group in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, entry.summary) for name, entry in group.items()])


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES_HELP,
)
@click.version_option(package_name="headgate", message="headgate %(version)s")
def program() -> None:
    """Run streaming jobs on Apache Mesos.

    Headgate places a job's workers on the cluster, follows its backlog with their number, and starts what fails again
    from its last checkpoint.  Try `headgate demo`, then `headgate run job.yaml` with a job of your own.
    """


def run_program(arguments: list[str]) -> int:
    """Run it, print what went wrong if something did, and return its exit code."""

    def run() -> int | None:
        result: Any = program.main(args=arguments, prog_name="headgate", standalone_mode=False)
        return result if isinstance(result, int) else None

    return guarded(run, as_json="--json" in arguments)
