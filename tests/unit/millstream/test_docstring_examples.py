"""Every example in the documentation of the language runs, and says what it says."""

from __future__ import annotations

import doctest

import pytest

from millstream import Stream, files, pattern


@pytest.mark.parametrize("documented", [Stream.map_rows, Stream.map_async, files, pattern])
def test_examples_are_true(documented: object) -> None:
    examples = doctest.DocTestFinder().find(documented, "example", globs={"__name__": "example"})
    assert sum(len(example.examples) for example in examples) > 2
    runner = doctest.DocTestRunner()
    for example in examples:
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0
