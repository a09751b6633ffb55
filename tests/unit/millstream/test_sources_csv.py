"""CSV as a source: quotes, headers, bad records as dead letters, positions, growing files, and any way of reading."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import ProgramError, SourceFailed, Stream, files, testing
from millstream.contract.checkpoint import Position, ShardId
from millstream.sinks.collecting import CollectingSink
from millstream.sources import csv_records
from millstream.sources.csv_lines import CsvDecoder, CsvFormat
from millstream.sources.files import FilesSource
from millstream.sources.source import Reader

TEXTS = {"a": pl.String(), "b": pl.String()}


def source(path: Path, schema: Mapping[str, Any] = TEXTS, *, growing: bool = False, **form: Any) -> FilesSource:
    return FilesSource(str(path), pl.Schema(schema), growing=growing, csv=CsvFormat(**form))


Read = tuple[list[tuple[Any, ...]], list[tuple[int, str, bytes]]]


def read_all(reader: Reader, *, records: int = 100, size: int = 1 << 20) -> Read:
    """All rows and dead records; every row's origin is looked up as well."""
    rows: list[tuple[Any, ...]] = []
    dead: list[tuple[int, str, bytes]] = []
    for _ in range(10_000):
        before = reader.position
        batch = reader.poll(records, size)
        places = [batch.origin(row)[0] for row in range(batch.frame.height)]
        assert places == sorted(places)
        assert all(before <= place < reader.position for place in places)
        rows += batch.frame.rows()
        dead += [(record.position, record.reason, record.raw) for record in batch.dead]
        if reader.finished or not batch.records:
            break
    return rows, dead


def read(path: Path, data: bytes, schema: Mapping[str, Any] = TEXTS, **form: Any) -> Read:
    file = path / "x.csv"
    file.write_bytes(data)
    reader = source(file, schema, **form).open(ShardId("x.csv"), None)
    try:
        return read_all(reader)
    finally:
        reader.close()


GOOD: Mapping[str, tuple[bytes, list[tuple[str | None, str | None]]]] = {
    "plain": (b"1,2\n3,4\n", [("1", "2"), ("3", "4")]),
    "no last line end": (b"1,2\n3,4", [("1", "2"), ("3", "4")]),
    "windows": (b"1,2\r\n3,4\r\n", [("1", "2"), ("3", "4")]),
    "quoted, windows": (b'1,"2"\r\n"3",4\r\n', [("1", "2"), ("3", "4")]),
    "empty lines": (b"1,2\n\n\r\n3,4\n\n", [("1", "2"), ("3", "4")]),
    "empty fields": (b',\n"",2\n1,""\n', [(None, None), (None, "2"), ("1", None)]),
    "a separator in quotes": (b'"1,1",2\n', [("1,1", "2")]),
    "quotes doubled": (b'"say ""hi""",""""\n', [('say "hi"', '"')]),
    "a line end in quotes": (b'"1\n1","2\r\n\n2"\n3,4\n', [("1\n1", "2\r\n\n2"), ("3", "4")]),
    "a line that looks like a record, in quotes": (b'"1\n3,4\n",2\n5,6\n', [("1\n3,4\n", "2"), ("5", "6")]),
    "a quote within": (b'5" pipe,2\n3,4"\n', [('5" pipe', "2"), ("3", '4"')]),
    "white space": (b" 1 ,\t\n", [(" 1 ", "\t")]),
    "a byte-order mark further down": (b"\xef\xbb\xbf1,2\n", [("\ufeff1", "2")]),
    "letters": ("å,日本\n".encode(), [("å", "日本")]),
    "none": (b"", []),
}


@pytest.mark.parametrize("case", GOOD)
def test_good_records(tmp_path: Path, case: str) -> None:
    data, expected = GOOD[case]
    assert read(tmp_path, b"a,b\n" + data) == (expected, [])
    if case != "a byte-order mark further down":
        assert read(tmp_path, data, header=False) == (expected, [])


BAD: Mapping[str, tuple[bytes, str]] = {
    "too few fields": (b"1", "1 fields, where 2 belong"),
    "too many fields": (b"1,2,3", "3 fields, where 2 belong"),
    "something behind a quote": (b'"1"x,2', "not at the end of a field"),
    "a quote never closed": (b'1,"2', "quotes are not closed"),
    "no text": (b"1,\xff", "can't decode byte 0xff"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("last", [b"3,4\n", b"3,4", b""])
def test_bad_records_are_dead_and_the_next_ones_are_not(tmp_path: Path, case: str, last: bytes) -> None:
    line, reason = BAD[case]
    rows, [(position, found, raw)] = read(tmp_path, b"a,b\n1,2\n" + line + b"\n" + last)
    assert rows == [("1", "2"), *([("3", "4")] if last else [])]
    assert (position, raw) == (8, line)
    assert reason in found


VALUES: Sequence[tuple[Any, str, Any]] = [
    (pl.Int64, "-12", -12),
    (pl.Int64, "007", 7),
    (pl.Int64, "1.0", ValueError),
    (pl.Int64, " 1", ValueError),
    (pl.Int64, str(2**63), ValueError),
    (pl.UInt64, str(2**64 - 1), 2**64 - 1),
    (pl.UInt32, "-1", ValueError),
    (pl.Int8, "127", 127),
    (pl.Int8, "128", ValueError),
    (pl.Float64, "1e-3", 0.001),
    (pl.Float64, "inf", float("inf")),
    (pl.Float64, "1,5", ValueError),
    (pl.Float32, "0.5", 0.5),
    (pl.Float32, "1e39", ValueError),
    (pl.Boolean, "TRUE", True),
    (pl.Boolean, "false", False),
    (pl.Boolean, "yes", ValueError),
    (pl.Date, "2024-01-31", date(2024, 1, 31)),
    (pl.Date, "31.01.2024", ValueError),
    (pl.Datetime("ms"), "2024-01-31T08:00:00+02:00", datetime(2024, 1, 31, 6)),
    (pl.Datetime("us"), "2024-01-31 08:00", datetime(2024, 1, 31, 8)),
    (pl.Datetime("us"), "today", ValueError),
    (pl.String, "NULL", "NULL"),
]


@pytest.mark.parametrize(("dtype", "text", "expected"), VALUES)
@pytest.mark.parametrize("quote", ["", '"'])
def test_values_are_converted_by_the_schema(tmp_path: Path, dtype: Any, text: str, expected: Any, quote: str) -> None:
    schema = {"x": dtype, "n": pl.String}
    data = f"x;n\n{quote}{text}{quote};1\n;2\n".encode()
    rows, dead = read(tmp_path, data, schema, separator=";")
    if expected is ValueError:
        assert rows == [(None, "2")]
        assert [(position, raw) for position, _, raw in dead] == [(4, data.split(b"\n")[1])]
        assert dead[0][1].startswith('"x" is no ')
        assert dead[0][1].endswith(f": {text!r}")
    else:
        assert (rows, dead) == ([(expected, "1"), (None, "2")], [])


def test_the_header_says_where_the_columns_are(tmp_path: Path) -> None:
    data = '\ufeff"b",skipped,a\r\n1,2,3\n'.encode()
    assert read(tmp_path, data) == ([("3", "1")], [])


HEADERS = {
    "missing": (
        b"a,bb\n1,2\n",
        r'x\.csv: by its header there is no column "b"\. Did you mean "bb"\? Columns here: a, bb',
    ),
    "twice": (b"a,b,b\n1,2,3\n", 'its header names the column "b" twice'),
    "empty": (b"\na,b\n1,2\n", 'by its header there is no column "a"'),
    "no text": (b"a,\xff\n1,2\n", "the header cannot be read"),
    "bad quotes": (b'"a"a,b\n1,2\n', "the header cannot be read: quotes are not closed, or"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_does_not_fit_is_refused(tmp_path: Path, case: str) -> None:
    data, message = HEADERS[case]
    for _ in range(2):
        with pytest.raises(SourceFailed, match=message):
            read(tmp_path, data)


def test_a_file_is_read_on_from_every_position(tmp_path: Path) -> None:
    data = b'c,b,a\n0,1,2\n0,"3\n3",4\n0\n\n0,5,6\n0,"x,1\n0,7,8'
    file = tmp_path / "x.csv"
    file.write_bytes(data)
    packed = tmp_path / "packed" / "x.csv.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(data))
    whole = read(tmp_path, data)
    assert [row[0] for row in whole[0]] == ["2", "4", "6", "8"]
    assert [position for position, _, _ in whole[1]] == [data.index(b"0\n\n"), data.index(b'0,"x')]
    for path, shard in ((file, ShardId("x.csv")), (packed, ShardId("x.csv.gz"))):
        position: Position | None = None
        rows: list[tuple[Any, ...]] = []
        while True:  # a new reader for each record
            reader = source(path).open(shard, position)
            rows += reader.poll(1, 1).frame.rows()
            position, finished = reader.position, reader.finished
            reader.close()
            if finished:
                break
        assert rows == whole[0]


def test_a_growing_file_gives_whole_records_only(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_bytes(b"")
    reader = source(file, growing=True).open(ShardId("x.csv"), None)
    seen = []
    for part in (b"a", b",b\n", b'1,"2', b"\n2", b'"', b'\n"never ', b"closed\n3,4\n"):
        with file.open("ab") as out:
            out.write(part)
        batch = reader.poll(100, 1 << 20)
        assert reader.backlog().records == 0
        seen.append(batch.frame.rows())
    assert seen == [[], [], [], [], [], [("1", "2\n2")], []]
    (tmp_path / "_SUCCESS").touch()
    rows, dead = read_all(reader)
    assert rows == [("3", "4")]
    assert [(position, raw) for position, _, raw in dead] == [(12, b'"never closed')]
    assert reader.finished
    reader.close()


@pytest.mark.parametrize("size", [1, 50, 1 << 20])
def test_a_quote_that_is_never_closed_costs_its_line_and_not_the_file(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_records, "MULTILINE_BYTES_MAX", 100)
    file = tmp_path / "x.csv"
    good = b"".join(b"%d,x\n" % number for number in range(100))
    fits, long = b'"' + b"y\n" * 40 + b'",z\n', b'"' + b"y\n" * 60 + b'",z\n'
    file.write_bytes(b"a,b\n" + b'"open,1\n' + good + fits + long + good)
    reader = source(file).open(ShardId("x.csv"), None)
    rows, dead = read_all(reader, records=7, size=size)
    reader.close()
    assert rows == [
        *((str(number), "x") for number in range(100)),
        ("y\n" * 40, "z"),
        *((str(number), "x") for number in range(100)),
    ]
    assert [raw for _, _, raw in dead] == [b'"open,1', b'"y', *[b"y"] * 59, b'",z']


PIECES = st.lists(
    st.sampled_from(
        (b"a", b"", b'"a"', b'""', b'"a,a"', b'"a""a"', b'"a"x', b'x"a"', b'5"', b'"', b'"a\na"', b'"a"\r')
    ),
    min_size=1,
    max_size=3,
).map(b",".join)
FIELD = st.text(st.sampled_from('a1,;"\n\r \t\x00é\ufeff'), max_size=6)


@given(
    rows=st.lists(st.lists(FIELD, min_size=1, max_size=4), max_size=12),
    quoting=st.sampled_from((csv.QUOTE_ALL, csv.QUOTE_MINIMAL)),
    line_end=st.sampled_from(("\n", "\r\n")),
    width=st.integers(1, 3),
    records=st.integers(1, 5),
    size=st.sampled_from((1, 10, 1 << 20)),
)
@settings(max_examples=250, deadline=None)
def test_what_another_writes_is_read_whatever_the_batches(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[list[str]],
    quoting: Any,
    line_end: str,
    width: int,
    records: int,
    size: int,
) -> None:
    if quoting == csv.QUOTE_MINIMAL:  # the writer does not quote a lone carriage return everywhere
        rows = [[field.replace("\r", "") for field in row] for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting, lineterminator=line_end).writerows(rows)
    file = tmp_path_factory.getbasetemp() / "written.csv"
    file.write_bytes(text.getvalue().encode())
    schema = dict.fromkeys("abc"[:width], pl.String())
    reader = source(file, schema, header=False).open(ShardId("written.csv"), None)
    found, dead = read_all(reader, records=records, size=size)
    reader.close()
    if rows and rows[0][0].startswith("\ufeff") and not text.getvalue().startswith('"'):
        rows[0][0] = rows[0][0].removeprefix("\ufeff")
        rows = rows[1:] if rows[0] == [""] else rows
    assert found == [tuple(field or None for field in row) for row in rows if len(row) == width]
    assert len(dead) == sum(len(row) != width for row in rows)


@given(
    data=st.text(st.sampled_from('a1,"\n\r\x00é\ufeff'), max_size=60).map(str.encode)
    | st.binary(max_size=60)
    | st.lists(PIECES, max_size=6).map(b"\n".join)
    | st.lists(st.sampled_from((b"a,b", b",", b"a", b"", b"a,b,c", b"\r", b"\xff,b")), max_size=12).map(b"\n".join),
    width=st.integers(1, 3),
)
@settings(max_examples=400, deadline=None)
def test_all_at_once_or_one_by_one_or_cut_anywhere_is_the_same(data: bytes, width: int) -> None:
    def decoder() -> CsvDecoder:
        return CsvDecoder("x", dict.fromkeys("abc"[:width], pl.String()), CsvFormat(header=False))

    at_once = decoder().decode(data)
    places = {name: at for at, name in enumerate("abc"[:width])}
    one_by_one = decoder()._one_by_one(data, places)
    assert at_once.frame.equals(one_by_one.frame)
    assert at_once.dead == one_by_one.dead
    for cut in range(len(data)):
        whole = decoder().whole(data[:cut], final=False)
        first, second = decoder()._one_by_one(data[:whole], places), decoder()._one_by_one(data[whole:], places)
        assert pl.concat([first.frame, second.frame]).equals(one_by_one.frame)
        assert [line.raw for line in (*first.dead, *second.dead)] == [line.raw for line in one_by_one.dead]


def test_programs_read_csv(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.csv").write_bytes(b"item|price\nnut|1.5\nbolt|cheap\n")
    prices = files(tmp_path / "in", format="csv", separator="|", schema={"item": pl.String, "price": pl.Float64})
    stream = Stream(prices).filter(pl.col("price") > 1)
    run = testing.run(stream.to(CollectingSink(stream.schema)), [{"item": "nut", "price": 2.0}, {"item": "nail"}])
    assert run.rows.rows() == [("nut", 2.0)]
    reader = prices.as_source().open(ShardId("x.csv"), None)
    batch = reader.poll(10, 1 << 20)
    reader.close()
    assert batch.frame.rows() == [("nut", 1.5)]
    assert [record.reason for record in batch.dead] == ["\"price\" is no Float64: 'cheap'"]


def test_wrong_uses_are_refused_while_building() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"separator": ""}, "the separator must be one ASCII character"),
        ({"separator": '"'}, "the separator must be one ASCII character"),
        ({"separator": "§"}, "the separator must be one ASCII character"),
        ({"schema": None}, "a source needs schema="),
        ({"schema": {"x": pl.List(pl.Int64)}}, '"x": List(Int64) cannot be read from CSV; declare String'),
        ({"schema": {"x": pl.Decimal(10, 2)}}, "cannot be read"),
        ({"format": "xml"}, 'reads format="json" (one object per line), "csv" or "parquet"'),
    ]
    for options, message in refused:
        with pytest.raises(ProgramError) as caught:
            Stream(files("x", **{"format": "csv", "schema": TEXTS, **options}))
        assert message in str(caught.value)
        assert caught.value.where is not None
        assert Path(__file__).name in caught.value.where
    with pytest.raises(ProgramError, match='a sink writes format="json" or "parquet", not \'csv\''):
        Stream(files("x", schema=TEXTS)).to(files("y", format="csv"))
