"""`headgate validate` and `headgate schema`: job files, without any cluster."""

from __future__ import annotations

from pathlib import Path

import click

from headgate.commands.exits import coloured
from headgate.commands.options import JOB_FILE, json_option, no_check_option, print_json
from headgate.model.job import JobSpec


@click.command("validate")
@click.argument("job_file", type=JOB_FILE)
@no_check_option
@json_option
def validate_command(job_file: Path, no_check: bool, as_json: bool) -> None:
    """Check a job file and its program; change nothing.

    Tells every mistake with its line, loads the program in a process of its own, and prints the plan of the stream.
    """
    from headgate.commands.preparation import prepare

    prepared = prepare(job_file, check=not no_check)
    plan = prepared.program.plan if prepared.program else None
    if as_json:
        spec, bundle = prepared.spec, prepared.bundle
        files = {"sha256": bundle.sha256, "files": bundle.names, "bytes": len(bundle.data)}
        print_json({"job": spec, "bundle": files, "plan": plan})
        return
    click.echo(f"{coloured('valid', 'green')}  {job_file}: {described(prepared.spec)}")
    click.echo(f"bundle {prepared.bundle.sha256[:12]}: {', '.join(prepared.bundle.names)}")
    if plan is not None:
        click.echo(f"\n{plan}")


@click.command("schema")
@click.argument("document", type=click.Choice(["job"]))
def schema_command(document: str) -> None:
    """Print the JSON Schema of job files, for editors and other programs."""
    from headgate.core.job_file import job_schema

    print_json({"job": job_schema}[document]())


def described(spec: JobSpec) -> str:
    """A job in one line."""
    from headgate.core.units import size_text

    few, many = spec.workers.min, spec.workers.max
    count = f"{few} worker{'s' if few > 1 else ''}" if few == many else f"{few} to {many} workers"
    cpus = f"{spec.worker.cpus_m / 1000:g} cpu{'s' if spec.worker.cpus_m > 1000 else ''}"
    gpus = f", {spec.worker.gpus_m // 1000} GPUs" if spec.worker.gpus_m else ""
    return f"{spec.name}, {count} of {cpus}{gpus} and {size_text(spec.worker.mem_m / 1000)}, {spec.delivery.value}"
