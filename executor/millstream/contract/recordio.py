"""RecordIO framing of Mesos event streams: bytes in, records out; no socket.

A record is its length in ASCII digits, one newline, and that many bytes.  Chunks of the transport say nothing about
records: a read may end anywhere, or hold several.  Both sides of Headgate, and its simulated cluster, speak it.

Source: Mesos, `docs/scheduler-http-api.md`, "RecordIO response format".
"""

from __future__ import annotations

RECORD_BYTES_MAX = 256 * 1024 * 1024
"""A length above this is taken for garbage; a real event of 10,000 offers is about 20 MiB."""

_DIGITS_MAX = len(str(RECORD_BYTES_MAX))


class BrokenFraming(ValueError):
    """The stream is not RecordIO (any more): nothing behind this point can be trusted, so disconnect."""


def encode(record: bytes) -> bytes:
    """Frame one record."""
    return b"%d\n%b" % (len(record), record)


class Decoder:
    """Cuts a byte stream into records.

    Feed it what was read, in order; it keeps what is incomplete.  After `BrokenFraming` it must not be used again.
    Not safe to share between threads.
    """

    def __init__(self) -> None:
        self._head = b""
        self._wanted = -1
        self._parts: list[bytes] = []
        self._have = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The records that `chunk` completes, oldest first.

        Raises:
            BrokenFraming: a length is not a number, or larger than `RECORD_BYTES_MAX`.
        """
        if self._head:
            chunk = self._head + chunk
        records: list[bytes] = []
        at = 0
        while True:
            if self._wanted < 0:
                newline = chunk.find(b"\n", at, at + _DIGITS_MAX + 1)
                if newline < 0:
                    if len(chunk) - at > _DIGITS_MAX:
                        raise BrokenFraming(f"no record length in {chunk[at : at + 32]!r}")
                    self._head = chunk[at:]
                    _require_digits(self._head)
                    return records
                self._head = b""
                self._wanted = _length(chunk[at:newline])
                at = newline + 1
            end = at + self._wanted - self._have
            part = chunk[at:end]
            if len(chunk) < end:
                # Copied once more only, when the record is whole: large ones come in hundreds of pieces.
                self._parts.append(part)
                self._have += len(part)
                return records
            if self._parts:
                part = b"".join((*self._parts, part))
                self._parts.clear()
            records.append(part)
            at, self._wanted, self._have = end, -1, 0


def _require_digits(text: bytes) -> None:
    if text and not text.isdigit():
        raise BrokenFraming(f"{text!r} is no record length")


def _length(text: bytes) -> int:
    if not text:
        raise BrokenFraming("empty record length")
    _require_digits(text)
    length = int(text)
    if length > RECORD_BYTES_MAX:
        raise BrokenFraming(f"record of {length} bytes announced; the limit is {RECORD_BYTES_MAX}")
    return length
