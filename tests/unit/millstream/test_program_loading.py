"""Programs from files: what is loaded, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from millstream import ProgramError, Stream
from millstream.program import load_program

GOOD = """
import polars as pl
from millstream import Stream, files, stdout

def make(path, suffix=""):
    return Stream(files(path + suffix, schema={"i": pl.Int64})).to(stdout())

def broken(path):
    raise ValueError("no " + path)

def nothing():
    make("x")

unfinished = Stream(files("x", schema={"i": pl.Int64}))
stream = make("flights")
number = 7
"""


def program(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "delays.py"
    path.write_text(dedent(text))
    return path


def test_a_stream_or_a_function_of_args(tmp_path: Path) -> None:
    path = program(tmp_path, GOOD)
    assert isinstance(load_program(path, "stream"), Stream)
    assert load_program(path, "make", {"path": "a", "suffix": "b"}).source.name == "files(ab)"


def test_a_program_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_delays.py").write_text("where = 'beside'\n")
    path = program(tmp_path, GOOD + "\nimport beside_delays\nother = make(beside_delays.where)\n")
    assert load_program(path, "other").source.name == "files(beside)"


@pytest.mark.parametrize(
    ("name", "args", "message", "line"),
    [
        ("strem", {}, 'has no object "strem". Did you mean "stream"?', None),
        ("number", {}, "must be a Stream, or a function that returns one; it is int '7'", None),
        ("nothing", {}, "it is None (does the function return the stream?)", None),
        ("stream", {"x": 1}, '"stream" is a Stream and takes no args', None),
        ("broken", {"path": "way"}, "broken() raised ValueError: no way", 9),
        ("make", {}, "make() raised TypeError", None),
        ("make", {"pth": "a"}, "make() raised TypeError", None),
        ("unfinished", {}, "writes nowhere", None),
    ],
)
def test_what_is_no_program(tmp_path: Path, name: str, args: dict[str, object], message: str, line: int | None) -> None:
    path = program(tmp_path, GOOD)
    with pytest.raises(ProgramError) as caught:
        load_program(path, name, args)
    assert message in str(caught.value)
    if line is not None:
        assert f"{path}:{line} in" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("import polars as pl\nx = 1 / 0\n", "ZeroDivisionError: division by zero", 2),
        ("import no_such_thing_at_all\n", "ModuleNotFoundError", 1),
        ("x = 1\ndef f(:\n", "SyntaxError", 2),
        ("raise SystemExit(3)\n", "SystemExit: 3", 1),
        (
            "import polars as pl\nfrom millstream import *\n"
            "stream = Stream(files('x', schema={'i': pl.Int64})).filter(pl.col('j') > 1)\n",
            'filter: there is no column "j".',
            3,
        ),
    ],
)
def test_a_file_that_raises_says_where(tmp_path: Path, text: str, message: str, line: int) -> None:
    path = program(tmp_path, text)
    with pytest.raises(ProgramError) as caught:
        load_program(path, "stream")
    assert message in str(caught.value)
    assert f"{path}:{line}" in str(caught.value)


def test_a_file_that_is_not_there_or_not_python(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="there is no such program file"):
        load_program(tmp_path / "none.py", "stream")
    (tmp_path / "program.txt").write_text("x")
    with pytest.raises(ProgramError, match=r"its name ends in \.py"):
        load_program(tmp_path / "program.txt", "stream")
