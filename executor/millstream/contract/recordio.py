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
        self._buffer = bytearray()
        self._wanted = -1

    def feed(self, chunk: bytes) -> list[bytes]:
        """The records that `chunk` completes, oldest first.

        Raises:
            BrokenFraming: a length is not a number, or larger than `RECORD_BYTES_MAX`.
        """
        buffer = self._buffer
        buffer += chunk
        records: list[bytes] = []
        at = 0
        while True:
            if self._wanted < 0:
                newline = buffer.find(b"\n", at, at + _DIGITS_MAX + 1)
                if newline < 0:
                    if len(buffer) - at > _DIGITS_MAX:
                        raise BrokenFraming(f"no record length in {bytes(buffer[at : at + 32])!r}")
                    _require_digits(buffer[at:])
                    break
                self._wanted = _length(buffer[at:newline])
                at = newline + 1
            if len(buffer) - at < self._wanted:
                break
            records.append(bytes(buffer[at : at + self._wanted]))
            at += self._wanted
            self._wanted = -1
        if at:
            del buffer[:at]
        return records


def _require_digits(text: bytearray) -> None:
    if text and not text.isdigit():
        raise BrokenFraming(f"{bytes(text)!r} is no record length")


def _length(text: bytearray) -> int:
    if not text:
        raise BrokenFraming("empty record length")
    _require_digits(text)
    length = int(text)
    if length > RECORD_BYTES_MAX:
        raise BrokenFraming(f"record of {length} bytes announced; the limit is {RECORD_BYTES_MAX}")
    return length
