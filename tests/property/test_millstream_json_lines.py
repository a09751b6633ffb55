"""Many lines at once are decoded as each would be alone, whatever they hold."""

from __future__ import annotations

import json

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.sources.json_lines import JsonLinesDecoder, lines_with_offsets

SCHEMA: dict[str, pl.DataType] = {
    "k": pl.String(),
    "t": pl.Datetime("us"),
    "v": pl.Float64(),
    "i": pl.Int64(),
    "b": pl.Boolean(),
    "n": pl.Int8(),
}

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.integers(-200, 200),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=5),
    st.datetimes().map(str),
    st.lists(st.integers(), max_size=2),
)
objects = st.dictionaries(st.sampled_from([*SCHEMA, "z"]), values, max_size=4)
lines = st.one_of(
    objects.map(lambda value: json.dumps(value).encode()),
    objects.map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")),
    st.binary(max_size=12).map(lambda data: data.replace(b"\n", b" ")),
    st.sampled_from([b"", b" ", b"\r", b"{}", b"[]", b'{"k":"\\ud800"}', b'{"k":"a"}{', b"\xef\xbb\xbf{}"]),
)


@given(parts=st.lists(lines, max_size=12), ends=st.sampled_from([b"\n", b"\r\n"]), last=st.booleans())
@settings(max_examples=300, deadline=None)
def test_all_at_once_is_as_one_by_one(parts: list[bytes], ends: bytes, last: bool) -> None:
    data = ends.join(parts) + (ends if last else b"")
    whole = JsonLinesDecoder(SCHEMA).decode(data)
    assert whole.used == len(data)

    rows, dead = [], []
    found = lines_with_offsets(data)
    for offset, line in found:
        alone = JsonLinesDecoder(SCHEMA).decode(line)
        assert alone.frame.height + len(alone.dead) == 1
        rows += alone.frame.rows()
        dead += [(offset, line) for _ in alone.dead]
    assert repr(whole.frame.rows()) == repr(rows)
    assert [(line.offset, line.raw) for line in whole.dead] == dead
    if whole.rows is not None:
        good = [offset for offset, _ in found if offset not in {offset for offset, _ in dead}]
        assert [found[row][0] for row in whole.rows] == good


@given(data=st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_garbage_never_raises_and_is_all_accounted_for(data: bytes) -> None:
    whole = JsonLinesDecoder(SCHEMA).decode(data)
    assert whole.frame.height + len(whole.dead) == len(lines_with_offsets(data))
    for line in whole.dead:
        assert data[line.offset : line.offset + len(line.raw)] == line.raw
