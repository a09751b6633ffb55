"""RecordIO: every way of cutting the bytes gives the same records; garbage is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.contract.recordio import RECORD_BYTES_MAX, BrokenFraming, Decoder, encode


@given(records=st.lists(st.binary(max_size=40)), cuts=st.lists(st.integers(min_value=0, max_value=400)))
def test_any_cut_of_the_stream_gives_the_records(records: list[bytes], cuts: list[int]) -> None:
    """Chunk boundaries mean nothing."""
    stream = b"".join(encode(record) for record in records)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    decoder = Decoder()
    got = [record for a, b in pairwise(edges) for record in decoder.feed(stream[a:b])]
    assert got == records


def test_length_counts_bytes() -> None:
    """A multi-byte character counts as its bytes."""
    assert encode("é".encode()) == b"2\n\xc3\xa9"


@pytest.mark.parametrize(
    "garbage",
    [b"x", b"12a\n", b"\n", b"-1\n", b"HTTP/1.1 200 OK\r\n", b"1" * 40, f"{RECORD_BYTES_MAX + 1}\n".encode(), b" 5\n"],
)
def test_garbage_is_refused(garbage: bytes) -> None:
    """A length that is no number is a broken stream, noticed as soon as it can be."""
    with pytest.raises(BrokenFraming):
        Decoder().feed(garbage)


def test_records_before_the_garbage_are_not_lost_silently() -> None:
    """Garbage behind good records raises too: the reader must reconnect."""
    decoder = Decoder()
    assert decoder.feed(b"2\nab") == [b"ab"]
    with pytest.raises(BrokenFraming):
        decoder.feed(b"zz\n")
