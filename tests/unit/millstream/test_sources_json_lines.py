"""JSON lines, good and bad: what is good stays, what is bad is set apart with a reason, nothing turns into null."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from millstream.sources.json_lines import BAD_LINES_MAX, JsonLinesDecoder

SCHEMA: dict[str, pl.DataType] = {"k": pl.String(), "t": pl.Datetime("ms"), "v": pl.Float64(), "i": pl.Int64()}
GOOD = b'{"k":"a","t":"2024-01-01T00:00:00","v":1.5,"i":3}'
GOOD_ROW = ("a", datetime(2024, 1, 1), 1.5, 3)
NOTHING = (None, None, None, None)


def decoded(data: bytes, schema: dict[str, pl.DataType] = SCHEMA) -> tuple[list[Any], list[tuple[int, str, bytes]]]:
    result = JsonLinesDecoder(schema).decode(data)
    assert result.used == len(data)
    assert dict(result.frame.schema) == schema
    return result.frame.rows(), [(line.offset, line.reason, line.raw) for line in result.dead]


READ = {
    "one line": (GOOD + b"\n", [GOOD_ROW]),
    "no line end at the end": (GOOD + b"\n" + GOOD, [GOOD_ROW, GOOD_ROW]),
    "windows line ends": (GOOD + b"\r\n" + GOOD + b"\r\n", [GOOD_ROW, GOOD_ROW]),
    "empty and blank lines": (b"\n\n" + GOOD + b"\n \t \r\n\n" + GOOD + b"\n\n", [GOOD_ROW, GOOD_ROW]),
    "nothing at all": (b"", []),
    "only blank lines": (b"\n \n\r\n", []),
    "missing and unknown fields": (b'{}\n{"x":{"y":[1]}}\n{"K":"a"}\n', [NOTHING] * 3),
    "nulls": (b'{"k":null,"t":null,"v":null,"i":null}\n', [NOTHING]),
    "whole numbers for a float": (b'{"v":3}\n', [(None, None, 3.0, None)]),
    "the greatest and least integers": (
        b'{"i":9223372036854775807}\n{"i":-9223372036854775808}\n',
        [(None, None, None, 2**63 - 1), (None, None, None, -(2**63))],
    ),
    "huge float": (b'{"v":12345678901234567890123}\n', [(None, None, 1.2345678901234568e22, None)]),
    "text takes any value as JSON": (
        b'{"k":1}\n{"k":true}\n{"k":{"a": 1}}\n{"k":[1, "x"]}\n',
        [
            ("1", None, None, None),
            ("true", None, None, None),
            ('{"a": 1}', None, None, None),
            ('[1, "x"]', None, None, None),
        ],
    ),
    "escapes and a surrogate pair": (
        b'{"k":"\\u00e4\\n\\ud83d\\ude00\\\\ud800"}\n',
        [("ä\n😀\\ud800", None, None, None)],
    ),
    "braces and quotes in text": (b'{"k":"}{\\"][,"}\n', [('}{"][,', None, None, None)]),
}


@pytest.mark.parametrize(("data", "rows"), READ.values(), ids=READ)
def test_what_is_read(data: bytes, rows: list[Any]) -> None:
    assert decoded(data) == (rows, [])


BAD = {
    "no JSON": b"{bad}",
    "an open string": b'{"k":"a',
    "cut off": GOOD[:20],
    "two objects": b'{"k":"a"} {"k":"b"}',
    "two objects without space": b'{"k":"a"}{"k":"b"}',
    "a comma behind": b'{"k":"a"},',
    "a comma inside": b'{"k":"a",}',
    "single quotes": b"{'k':1}",
    "a comment": b'{"k":"a"}//x',
    "null": b"null",
    "an array": b"[1,2]",
    "a number": b"1",
    "a string": b'"x"',
    "NaN": b'{"v":NaN}',
    "infinite": b'{"v":1e999}',
    "a leading zero": b'{"k":01}',
    "null bytes": b"\x00\x00",
    "a null byte in text": b'{"k":"a\x00b"}',
    "a control character": b'{"k":"a\x01b"}',
    "invalid UTF-8 in a field": b'{"k":"\xff\xfe"}',
    "invalid UTF-8 elsewhere": b'{"z":"\xff"}',
    "half a surrogate pair": b'{"k":"\\ud800"}',
    "half a surrogate pair elsewhere": b'{"z":"\\uDFFFx"}',
    "a byte-order mark inside": b"\xef\xbb\xbf" + GOOD,
    "text for a float": b'{"v":"x"}',
    "a number in quotes": b'{"v":"1.5"}',
    "a boolean for a float": b'{"v":true}',
    "a boolean for an integer": b'{"i":true}',
    "a list for an integer": b'{"i":[1]}',
    "a fraction for an integer": b'{"i":1.5}',
    "a whole fraction for an integer": b'{"i":3.0}',
    "an exponent for an integer": b'{"i":3e2}',
    "an integer in quotes": b'{"i":"7"}',
    "an integer out of range": b'{"i":9223372036854775808}',
    "an enormous integer": b'{"i":99999999999999999999999999999999999999999999}',
    "no time": b'{"t":"foo"}',
    "an empty time": b'{"t":""}',
    "a number for a time": b'{"t":1704067200000}',
    "a boolean for a time": b'{"t":true}',
    "a list for a time": b'{"t":["2024-01-01"]}',
    "an impossible day": b'{"t":"2023-02-29"}',
    "an impossible hour": b'{"t":"2024-01-01T25:00:00"}',
    "an American date": b'{"t":"01/02/2024"}',
    "more behind the time": b'{"t":"2024-01-01T00:00:00 o clock"}',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_line_is_set_apart_and_the_good_ones_around_it_stay(bad: bytes) -> None:
    rows, ((offset, reason, raw),) = decoded(GOOD + b"\n\n" + bad + b"\r\n" + GOOD)
    assert rows == [GOOD_ROW, GOOD_ROW]
    assert (offset, raw) == (len(GOOD) + 2, bad)
    assert reason
    assert decoded(bad)[0] == []
    assert len(decoded(bad + b"\n" + bad)[1]) == 2


def test_a_line_too_deep_to_read_costs_the_others_nothing() -> None:
    """Whether a nest in a column nobody asked for is read over or refused is the parser's; it is never a crash."""
    deep = b'{"z":' + b"[" * 3000 + b"]" * 3000 + b"}"
    rows, dead = decoded(GOOD + b"\n" + deep + b"\n" + GOOD)
    assert len(rows) + len(dead) == 3
    assert (rows[0], rows[-1]) == (GOOD_ROW, GOOD_ROW)
    assert [raw for _, _, raw in dead] in ([], [deep])


def test_a_line_end_inside_an_object_makes_two_bad_lines() -> None:
    rows, dead = decoded(b'{"i":\n1}\n' + GOOD)
    assert rows == [GOOD_ROW]
    assert [raw for _, _, raw in dead] == [b'{"i":', b"1}"]


def test_the_reason_names_column_and_value() -> None:
    reasons = [reason for _, reason, _ in decoded(b'{"v":"x"}\n{"t":"foo"}\n{"i":1.5}\n')[1]]
    assert reasons == [
        "Expected `float | null`, got `str` - at `$.v`",
        "\"t\" is no time in ISO 8601: 'foo'",
        "Expected `int | null`, got `float` - at `$.i`",
    ]


TIMES = {
    "2024-01-31": datetime(2024, 1, 31),
    "2024-01-31T08:09": datetime(2024, 1, 31, 8, 9),
    "2024-01-31 08:09": datetime(2024, 1, 31, 8, 9),
    "2024-01-31T08:09:10": datetime(2024, 1, 31, 8, 9, 10),
    "2024-01-31 08:09:10.123456": datetime(2024, 1, 31, 8, 9, 10, 123456),
    "2024-01-31T08:09:10Z": datetime(2024, 1, 31, 8, 9, 10),
    "2024-01-31T08:09:10.5+02:00": datetime(2024, 1, 31, 6, 9, 10, 500000),
    "2024-01-31 08:09:10-0330": datetime(2024, 1, 31, 11, 39, 10),
    "1969-12-31T23:59:59": datetime(1969, 12, 31, 23, 59, 59),
}


def test_times_in_iso_8601_may_be_mixed() -> None:
    lines = b"\n".join(b'{"t":"%b"}' % text.encode() for text in TIMES)
    rows, dead = decoded(lines, {"t": pl.Datetime("us")})
    assert dead == []
    assert [row[0] for row in rows] == list(TIMES.values())
    rows, dead = decoded(lines, {"t": pl.Datetime("us", "Asia/Tokyo")})
    assert dead == []
    assert [row[0].utctimetuple()[:6] for row in rows] == [time.timetuple()[:6] for time in TIMES.values()]


NARROW = {
    "Int8": (pl.Int8(), b"-128", -128, b"128"),
    "UInt8": (pl.UInt8(), b"255", 255, b"-1"),
    "Int16": (pl.Int16(), b"32767", 32767, b"40000"),
    "UInt16": (pl.UInt16(), b"0", 0, b"65536"),
    "Int32": (pl.Int32(), b"7", 7, b"3000000000"),
    "UInt32": (pl.UInt32(), b"4294967295", 4294967295, b"-7"),
    "UInt64": (pl.UInt64(), b"18446744073709551615", 2**64 - 1, b"-1"),
    "Float32": (pl.Float32(), b"0.5", 0.5, b"1e300"),
    "Boolean": (pl.Boolean(), b"true", True, b"1"),
    "Date": (pl.Date(), b'"2024-02-29"', date(2024, 2, 29), b'"2024-02-30"'),
    "List": (pl.List(pl.Int64), b"[1,null]", [1, None], b'["a"]'),
    "Struct": (pl.Struct({"a": pl.Int64}), b'{"a":1,"b":2}', {"a": 1}, b'{"a":"x"}'),
}


@pytest.mark.parametrize(("dtype", "good", "value", "bad"), NARROW.values(), ids=NARROW)
def test_every_type_that_can_be_declared_takes_what_fits_and_nothing_else(
    dtype: pl.DataType, good: bytes, value: object, bad: bytes
) -> None:
    rows, dead = decoded(b'{"x":%b}\n{"x":%b}\n{"x":null}\n{"x":%b}\n' % (good, bad, good), {"x": dtype})
    assert rows == [(value,), (None,), (value,)]
    assert [raw for _, _, raw in dead] == [b'{"x":%b}' % bad]


def test_columns_may_have_any_name() -> None:
    schema: dict[str, pl.DataType] = {'a "b"': pl.Int64(), "class": pl.Int64(), "ü/1": pl.Int64(), "f0": pl.Int64()}
    line = '{"a \\"b\\"":1,"class":2,"ü/1":3,"f0":4}'.encode()
    assert decoded(line + b"\n{\n" + line, schema)[0] == [(1, 2, 3, 4)] * 2


@pytest.mark.parametrize("bad", [b"garbage", b'{"i":3.0}', b'{"t":"x"}'], ids=["no JSON", "wrong type", "no time"])
def test_a_flood_of_bad_lines_is_taken_in_portions(bad: bytes) -> None:
    data = (bad + b"\n") * 3000 + GOOD
    decoder = JsonLinesDecoder(SCHEMA)
    at = calls = dead = 0
    rows: list[Any] = []
    while at < len(data):
        result = decoder.decode(data[at:])
        assert result.used > 0
        assert len(result.dead) <= 2 * BAD_LINES_MAX or bad == b'{"t":"x"}'  # times are looked at all at once
        at += result.used
        dead += len(result.dead)
        rows += result.frame.rows()
        calls += 1
    assert (dead, rows) == (3000, [GOOD_ROW])
    assert calls > 1 or bad == b'{"t":"x"}'
