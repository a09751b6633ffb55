"""Records that any build has written are read by this one, and nothing of them is lost when it writes them again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden_records import FOLDER, KINDS, files, missing, sample, uncovered

from headgate.model.stored import VERSION, decoded, encoded, loaded

GOLDEN = sorted(FOLDER.glob("*.json"))


def kind_of(path: Path) -> str:
    return path.name.partition(".")[0]


def lost(old: object, new: object, path: str = "") -> list[str]:
    """Where `new` lacks something that `old` says, or says it differently."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [each for name in old for each in (lost(old[name], new.get(name), f"{path}.{name}"))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [each for number, pair in pairs for each in lost(*pair, f"{path}[{number}]")]
    return [] if old == new else [path]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_what_was_ever_written_is_read_and_kept(path: Path) -> None:
    """Every golden file, of every version: its record, written again, still says all that it said."""
    kind = kind_of(path)
    shape, key_of = KINDS[kind]
    data = path.read_bytes()
    record = decoded(sample(kind)[0], data, shape)
    key = key_of(record)
    assert loaded({key: data}) == loaded({key: encoded(key, record)})
    assert lost(json.loads(data)["body"], json.loads(encoded(key, record))["body"]) == []


def test_every_kind_has_a_golden_file_of_the_present_version() -> None:
    """A new kind or version: run `make golden`."""
    from headgate.model import stored

    assert set(KINDS) == set(stored._KINDS.values())
    assert {kind_of(path) for path in GOLDEN} == set(KINDS)
    assert {kind for kind in KINDS if not any(f".v{VERSION}." in path.name for path in files(kind))} == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_is_full_and_always_the_same(kind: str) -> None:
    """Nothing in it is empty, or it would prove nothing of that field."""
    key, data = sample(kind)
    assert (key, data) == sample(kind)
    body = json.loads(data)["body"]
    empty = [path for path in missing({}, body) if body and path and _at(body, path) in (None, [], {}, "")]
    assert empty == []
    assert loaded({key: data}) == loaded({key: encoded(key, decoded(key, data, KINDS[kind][0]))})


def _at(body: object, path: str) -> object:
    return body[path.strip(".")] if isinstance(body, dict) else body


def test_what_no_golden_file_covers_is_found() -> None:
    """So that the next run of the writer adds it."""
    old = {"a": 1, "b": [{"c": 1}], "d": None, "e": []}
    new = {"a": 1, "b": [{"c": 1, "x": 2}], "d": {"y": 1}, "e": [1], "f": 1}
    assert sorted(missing(old, new)) == [".b[].x", ".d", ".e[]", ".f"]
    assert list(missing(new, old)) == []
    assert all(field != "everything" for kind in KINDS for field in uncovered(kind))
