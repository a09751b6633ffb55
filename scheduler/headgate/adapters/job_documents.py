"""Job files on disk: YAML or JSON to plain values, with the line of everything in them, and mistakes pointed at lines.

`${job_dir}` in any text stands for the folder of the job file, so that a job can name files beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from headgate.core.job_file import read_job
from headgate.core.mistakes import Mistake, dotted
from headgate.core.mistakes import Path as Where
from headgate.errors import BadJob
from headgate.model.job import JobSpec

BYTES_MAX = 1024 * 1024
_NODES_MAX = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a file says.  `lines` is the line (from 1) of each value, by its path; empty where it is not known."""

    source: str
    value: Any
    lines: Mapping[Where, int] = field(default_factory=dict)

    def line(self, mistake: Mistake) -> int:
        """The line of the mistake, or of what it is missing from; 0 where lines are not known."""
        path = mistake.path
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def point(self, mistake: Mistake) -> str:
        """The mistake behind the place it is at, as compilers write it: `job.yaml:7: workers.max: …`."""
        line = self.line(mistake)
        return f"{self.source}:{line}: {mistake}" if line else f"{self.source}: {mistake}"


def load_document(path: Path) -> Document:
    """The document in a file; `.json` is read as JSON, all else as YAML.

    Raises:
        BadJob: no such file, not a text, too large, not YAML (JSON), a name given twice, an alias inside itself.
    """
    source = str(path)
    try:
        data = path.read_bytes()
        text = data.decode("utf-8")
    except FileNotFoundError as problem:
        raise BadJob((f"{source}: there is no such file",)) from problem
    except IsADirectoryError as problem:
        raise BadJob((f"{source}: is a folder; name the job file in it",)) from problem
    except OSError as problem:
        raise BadJob((f"{source}: cannot be read: {problem.strerror}",)) from problem
    except UnicodeDecodeError as problem:
        raise BadJob((f"{source}: is not a text in UTF-8; is it a job file?",)) from problem
    if len(data) > BYTES_MAX:
        raise BadJob((f"{source}: is {len(data)} bytes; a job file has at most {BYTES_MAX}",))
    folder = str(path.resolve().parent)
    parsed = parse_json(text, source) if path.suffix == ".json" else parse_yaml(text, source)
    return Document(source=source, value=_resolved(parsed.value, folder), lines=parsed.lines)


def load_job(path: Path) -> tuple[Document, JobSpec]:
    """The job in a file, and the document it came from.

    Raises:
        BadJob: as `load_document`, or the job has mistakes; each is pointed at its line.
    """
    document = load_document(path)
    if document.value is None:
        raise BadJob((f"{document.source}: is empty; `headgate schema job` shows what a job file may say",))
    job = read_job(document.value)
    if isinstance(job, tuple):
        raise BadJob(tuple(document.point(mistake) for mistake in sorted(job, key=document.line)))
    return document, job


def parse_yaml(text: str, source: str) -> Document:
    """A YAML document with its lines.

    Raises:
        BadJob: see `load_document`.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document(source=source, value=None)
        lines: dict[Where, int] = {}
        _walk(loader, node, (), (), lines, source)
        return Document(source=source, value=loader.construct_document(node), lines=lines)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise BadJob((f"{source}{line}: not YAML: {problem.problem}{_tab_hint(problem)}",)) from problem
    except (yaml.YAMLError, ValueError) as problem:
        raise BadJob((f"{source}: not YAML: {problem}",)) from problem
    finally:
        loader.dispose()


def parse_json(text: str, source: str) -> Document:
    """A JSON document; lines are not known.

    Raises:
        BadJob: see `load_document`.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise BadJob((f"{source}: {twice}: is given twice; keep one",))
        return found

    try:
        return Document(source=source, value=json.loads(text, object_pairs_hook=unique))
    except json.JSONDecodeError as problem:
        raise BadJob((f"{source}:{problem.lineno}: not JSON: {problem.msg}",)) from problem
    except RecursionError as problem:
        raise BadJob((f"{source}: not JSON of a job: nested too deeply",)) from problem


def _walk(
    loader: yaml.SafeLoader,
    node: yaml.Node,
    path: Where,
    above: tuple[yaml.Node, ...],
    lines: dict[Where, int],
    source: str,
) -> None:
    """Note the line of every value below `node`; refuse what plain values cannot say."""
    if any(node is each for each in above):
        raise BadJob((f"{source}:{node.start_mark.line + 1}: {dotted(path)}: an alias stands inside its own anchor",))
    if len(lines) > _NODES_MAX:
        raise BadJob((f"{source}: has more than {_NODES_MAX} values once its aliases are written out",))
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode):
        for at, item in enumerate(node.value):
            _walk(loader, item, (*path, at), (*above, node), lines, source)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            merges = key.tag == "tag:yaml.org,2002:merge"
            name = "<<" if merges else str(loader.construct_object(key, deep=True))
            line = key.start_mark.line + 1
            here = (*path, name)
            if name in seen and not merges:
                raise BadJob(
                    (f"{source}:{line}: {dotted(here)}: is given twice, first in line {seen[name]}; keep one",)
                )
            seen[name] = line
            _walk(loader, value, here, (*above, node), lines, source)
            lines[here] = line


def _tab_hint(problem: yaml.MarkedYAMLError) -> str:
    return "; indent with spaces, not with tabs" if problem.problem and "'\\t'" in problem.problem else ""


def _resolved(value: Any, folder: str) -> Any:
    if isinstance(value, str):
        return value.replace("${job_dir}", folder)
    if isinstance(value, dict):
        return {key: _resolved(each, folder) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, folder) for each in value]
    return value
