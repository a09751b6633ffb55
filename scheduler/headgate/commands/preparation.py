"""From a job file to what can be submitted: read, bundled, and its program loaded once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headgate.adapters.bundles import Bundle, build_bundle
from headgate.adapters.job_documents import load_job
from headgate.adapters.program_check import CheckedProgram, check_program
from headgate.errors import BadJob
from headgate.model.job import JobSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedJob:
    """A job that can be submitted.

    `document` is what the file says, `spec` what it means (bundle's hash included), `program` what is known of the
    program (None when it was not loaded).
    """

    document: Mapping[str, Any]
    spec: JobSpec
    bundle: Bundle
    program: CheckedProgram | None


def prepare(path: Path, *, check: bool = True, python: str = sys.executable) -> PreparedJob:
    """Read a job file, bundle its program and, with `check`, load that in a process of its own.

    Raises:
        BadJob: with every mistake of the first of these steps that finds any.
    """
    document, spec = load_job(path)
    try:
        bundle = build_bundle(path.resolve().parent, spec.program)
        program = check_program(bundle, spec, path.resolve().parent, python=python) if check else None
    except BadJob as problem:
        raise BadJob(tuple(f"{document.source}: {mistake}" for mistake in problem.mistakes)) from problem
    spec = replace(spec, program=replace(spec.program, sha256=bundle.sha256))
    return PreparedJob(document=document.value, spec=spec, bundle=bundle, program=program)
