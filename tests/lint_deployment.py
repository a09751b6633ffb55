"""Check what no Python tool reads: the container files and the Marathon app definitions.

    python tests/lint_deployment.py

Each problem is one line `file:line: what`; the exit code is 1 if there are any.  It knows the mistakes that only show
at deployment: a COPY of a path that is not there or is ignored, a shell-form entry point, a root user in the
scheduler's image, an app definition whose options `headgate serve` does not have, whose ports and health check
disagree.
"""

from __future__ import annotations

import fnmatch
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from headgate.commands.serve import serve_command

ROOT = Path(__file__).parent.parent

_INSTRUCTIONS = frozenset(
    {"ARG", "FROM", "COPY", "RUN", "USER", "WORKDIR", "ENV", "EXPOSE", "ENTRYPOINT", "CMD", "LABEL", "VOLUME"}
)


def instructions(path: Path) -> Iterator[tuple[int, str, str]]:
    """(line number, instruction, arguments) of a container file, continued lines joined."""
    pending = ""
    began = 0
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not pending):
            continue
        began = began or number
        pending += line.rstrip("\\") if line.endswith("\\") else line
        if not line.endswith("\\"):
            word, _, rest = pending.strip().partition(" ")
            yield began, word, " ".join(rest.split())
            pending, began = "", 0


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the repository out of the build."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = line.removeprefix("!")
        if any(fnmatch.fnmatch("/".join(path.split("/")[: n + 1]), pattern) for n in range(path.count("/") + 1)):
            verdict = not line.startswith("!")
    return verdict


def container_file_problems(path: Path) -> Iterator[tuple[int, str]]:
    """What is wrong with one container file."""
    seen: dict[str, str] = {}
    for line, word, rest in instructions(path):
        if word not in _INSTRUCTIONS:
            yield line, f"unknown instruction {word}"
        if word == "FROM" and rest != "${BASE}":
            yield line, "the base image is a build argument: ARG BASE=…, FROM ${BASE}"
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                if not (ROOT / source).exists():
                    yield line, f"COPY of {source}, which does not exist"
                elif ignored(source):
                    yield line, f"COPY of {source}, which .dockerignore leaves out"
            if not target.startswith("/"):
                yield line, f"COPY to {target}: write an absolute path"
        if word in {"ENTRYPOINT", "CMD"}:
            try:
                form = json.loads(rest)
            except ValueError:
                form = None
            if not isinstance(form, list):
                yield line, f"{word} in shell form swallows signals: write a JSON list"
        if word == "RUN" and re.search(r"\bcurl\b|\bwget\b|--break-system-packages", rest):
            yield line, "RUN downloads outside the package index"
        seen[word] = rest
    if "CMD" not in seen:
        yield 1, "no CMD"
    if path.name.startswith("scheduler") and seen.get("USER", "root").split(":")[0] in {"root", "0"}:
        yield 1, "the scheduler runs as root: set USER"


def app_problems(path: Path) -> Iterator[tuple[int, str]]:
    """What is wrong with one Marathon app definition."""
    app = json.loads(path.read_text(encoding="utf-8"))
    options = {name: each for each in serve_command.params for name in each.opts}
    known = {each.envvar for each in serve_command.params if isinstance(each, click.Option)}
    if not re.fullmatch(r"(/[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", app.get("id", "")):
        yield 1, f"id {app.get('id')!r} is no Marathon path"
    arguments = app.get("args", [])
    if arguments[:1] != ["serve"]:
        yield 1, f"args {arguments!r} do not run `headgate serve`"
    for word in arguments[1:]:
        if word.startswith("--") and word.split("=")[0] not in options:
            yield 1, f"args: serve has no option {word}"
    for name in app.get("env", {}):
        if name.startswith("HEADGATE_") and name not in known:
            yield 1, f"env: no option of serve reads {name}"
    ports = app.get("portDefinitions", [])
    checks = app.get("healthChecks", [])
    if not checks:
        yield 1, "no health check"
    for check in checks:
        if check.get("protocol") not in {"MESOS_HTTP", "MESOS_HTTPS"}:
            yield 1, "health check: only MESOS_HTTP and MESOS_HTTPS are run by the agents"
        if check.get("path") != "/health":
            yield 1, f"health check of {check.get('path')!r}; the API answers /health"
        if not 0 <= check.get("portIndex", 0) < len(ports):
            yield 1, "health check of a port that is not defined"
    listen = app.get("env", {}).get("HEADGATE_LISTEN", "")
    if ports and not listen.endswith(f":{ports[0]['port']}"):
        yield 1, f"HEADGATE_LISTEN {listen!r} is not the defined port {ports[0]['port']}"
    yield from _problems_of_several(app)
    if not app.get("env", {}).get("HEADGATE_USER"):
        yield 1, "no HEADGATE_USER: the user of the scheduler's container is unknown to the agents"


def _problems_of_several(app: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """What instances must share, and what each must have of its own."""
    if app.get("instances", 1) < 2:
        return
    env = app.get("env", {})
    if not env.get("HEADGATE_STORE", "").startswith("zk://"):
        yield 1, "a store that is not zk:// serves one instance"
    if "HEADGATE_ADVERTISE" in env:
        yield (
            1,
            "HEADGATE_ADVERTISE would be the same for all instances: leave it out, each knows its host from Marathon",
        )
    if app.get("requirePorts") and ["hostname", "UNIQUE"] not in app.get("constraints", []):
        yield 1, "instances on one host would want the same port: constrain hostname to be UNIQUE"


def main() -> int:
    """All files; 1 if there is any problem."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {problem}"
        for folder, pattern, problems in (
            ("docker", "*.Dockerfile", container_file_problems),
            ("marathon", "*.json", app_problems),
        )
        for path in sorted((ROOT / folder).glob(pattern))
        for line, problem in problems(path)
    ]
    for problem in found:
        print(problem)
    if not found:
        print("Container files and app definitions: no problems.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
