r"""Where the records of CSV text begin and end, and what their fields are.

As RFC 4180 says: a field that begins with `"` ends with the next `"` that is not doubled, and may hold separators, line
ends and, doubled, quotes.  A `"` within a field that does not begin with one is a character like any other.  Lines end
in `\n` or `\r\n`; empty ones are no records.

A record of several lines has at most `MULTILINE_BYTES_MAX`.  So a quote that is never closed costs its own line, and
not the rest of the file.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from millstream.sources.decoding import Spans, end_of_line, whole_lines

MULTILINE_BYTES_MAX = 1 << 20

_QUOTED_FIELD = re.compile(rb'"[^"]*(?:""[^"]*)*"')
_QUOTED = r'"[^"]*(?:""[^"]*)*"(?!")'


def without_line_end(record: bytes) -> bytes:
    """The record without its line end."""
    return record.removesuffix(b"\n").removesuffix(b"\r")


class CsvRecords:
    """Takes CSV text with one separator apart."""

    def __init__(self, separator: str) -> None:
        """`separator` is one ASCII character, neither a quote nor a line end."""
        self._separator = separator
        mark = re.escape(separator)
        loose = rf'(?:{_QUOTED}[^{mark}\n]*|[^"{mark}\n][^{mark}\n]*|)'
        record = rf"{loose}(?:{mark}{loose})*"
        strict = rf'(?:{_QUOTED}|[^"{mark}\n][^{mark}\n]*|)'
        self._record = re.compile(rf"{record}\n".encode())
        self._last_record = re.compile(rf"{record}(?:\n|\Z)".encode())
        self._strict = re.compile(rf"{strict}(?:{mark}{strict})*")
        self._field = re.compile(rf'(?:"([^"]*(?:""[^"]*)*)"|([^{mark}]*)){mark}')

    def whole(self, data: bytes, *, final: bool) -> int:
        """See `Decoder`."""
        end = whole_lines(data, final=final)
        if self.skeleton(data[:end]) is not None:
            return end
        end = 0
        for _, end in self._spans(data, final=final):  # noqa: B007 - the last one is wanted
            pass
        return end

    def end_of(self, data: bytes, records: int) -> int:
        """See `Decoder`.  Empty lines count."""
        if self.skeleton(data) is not None:
            return end_of_line(data, records)
        last = (0, 0)
        for last in itertools.islice(self._spans(data, final=True), records):  # noqa: B007 - the last one is wanted
            pass
        return last[1]

    def skeleton(self, data: bytes) -> bytes | None:
        """The text with every quoted part as a mere `"`, if each line is a record whose quotes are in their places.

        None: it may be otherwise.
        """
        if b'"' not in data:
            return data
        if data.count(b'"') % 2:
            return None
        bare = _QUOTED_FIELD.sub(b'"', data)
        if bare.count(b"\n") != data.count(b"\n"):
            return None
        mark, fields = self._separator.encode(), bare.count(b'"')
        begun = bare.count(mark + b'"') + bare.count(b'\n"') + bare.startswith(b'"')
        ended = bare.count(b'"' + mark) + bare.count(b'"\n') + bare.count(b'"\r\n') + bare.endswith(b'"')
        return bare if begun == ended == fields else None

    def split(self, data: bytes) -> Spans:
        """See `Decoder`."""
        found = []
        for start, end in self._spans(data, final=True):
            record = without_line_end(data[start:end])
            if record:
                found.append((start, record))
        return found

    def fields(self, record: str) -> Sequence[str]:
        """The fields of one record.

        Raises:
            ValueError: a quote is not closed, or something stands behind a closing quote.
        """
        if '"' not in record:
            return record.split(self._separator)
        if not self._strict.fullmatch(record):
            raise ValueError(
                f"quotes are not closed, or not at the end of a field (within {MULTILINE_BYTES_MAX} bytes)"
            )
        found = self._field.findall(record + self._separator)
        return [quoted.replace('""', '"') or plain for quoted, plain in found]

    def _spans(self, data: bytes, *, final: bool) -> Iterator[tuple[int, int]]:
        """Begin and end of each record; where a quote is not closed, those of its line."""
        pattern = self._last_record if final else self._record
        start = 0
        while start < len(data):
            match = pattern.match(data, start)
            newline = data.find(b"\n", start)
            if match and (match.end() == newline + 1 or match.end() - start <= MULTILINE_BYTES_MAX):
                end = match.end()
            elif newline < 0:
                if not final:
                    return
                end = len(data)
            elif match or final or len(data) - start > MULTILINE_BYTES_MAX:
                end = newline + 1
            else:
                return
            yield start, end
            start = end
