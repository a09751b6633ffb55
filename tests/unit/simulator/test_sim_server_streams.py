"""Stream buffers: order, bounds, and the three ways to end."""

import asyncio
from collections.abc import Awaitable, Callable

from headgate.simulator.messages import Json
from headgate.simulator.server.streams import Ending, StreamBuffer, Streams


def to_bytes(event: Json) -> bytes:
    """The event's text."""
    return str(event["text"]).encode()


def play(script: Callable[[StreamBuffer], Awaitable[None]]) -> None:
    """Run a script with a buffer of ten bytes."""

    async def whole() -> None:
        await asyncio.wait_for(script(StreamBuffer(to_bytes, bytes_max=10)), 10)

    asyncio.run(whole())


def test_events_are_framed_and_come_in_order_before_a_clean_end() -> None:
    """What was written before the end is read before the end; nothing after it."""

    async def script(buffer: StreamBuffer) -> None:
        buffer.write({"text": "a"})
        buffer.write({"text": "é"})
        buffer.finish(Ending.CLEAN)
        buffer.write({"text": "b"})
        assert [await buffer.next() for _ in range(4)] == [b"1\na", b"2\n\xc3\xa9", Ending.CLEAN, Ending.CLEAN]

    play(script)


def test_a_reader_waits() -> None:
    """It is woken by an event, and by the end."""

    async def script(buffer: StreamBuffer) -> None:
        reader = asyncio.ensure_future(buffer.next())
        await asyncio.sleep(0)
        assert not reader.done()
        buffer.write({"text": "a"})
        assert await reader == b"1\na"
        reader = asyncio.ensure_future(buffer.next())
        await asyncio.sleep(0)
        buffer.finish(Ending.ABANDONED)
        assert await reader is Ending.ABANDONED

    play(script)


def test_the_bound_is_on_what_waits() -> None:
    """Any amount passes a reader that keeps up; one record may be larger than the bound; too much ends the stream."""

    async def script(buffer: StreamBuffer) -> None:
        broken: list[bool] = []
        buffer.on_overflow = lambda: broken.append(True)
        for _ in range(5):
            buffer.write({"text": "12345678"})
            assert await buffer.next() == b"8\n12345678"
        buffer.write({"text": "1"})
        for _ in range(5):
            buffer.write({"text": "2"})
            assert isinstance(await buffer.next(), bytes)
        assert await buffer.next() == b"1\n2"
        buffer.write({"text": "x" * 50})
        assert await buffer.next() == b"50\n" + b"x" * 50
        buffer.write({"text": "12345678"})
        assert broken == []
        buffer.write({"text": "9"})
        assert broken == [True]
        assert await buffer.next() is Ending.OVERFLOWED

    play(script)


def test_a_clean_end_does_not_replace_another() -> None:
    """Who has gone has gone; but a client may go while the last events wait for it."""

    async def script(buffer: StreamBuffer) -> None:
        buffer.finish(Ending.ABANDONED)
        buffer.finish(Ending.CLEAN)
        assert await buffer.next() is Ending.ABANDONED
        other = StreamBuffer(to_bytes)
        other.write({"text": "a"})
        other.finish(Ending.CLEAN)
        other.finish(Ending.ABANDONED)
        assert await other.next() is Ending.ABANDONED

    play(script)


def test_streams_by_name() -> None:
    """Unknown and closed ones are nobody's fault."""

    async def script() -> None:
        streams = Streams()
        buffer = streams.open("s", to_bytes)
        streams.write("s", {"text": "a"})
        streams.write("t", {"text": "b"})
        streams.end("t")
        streams.close("s")
        streams.close("s")
        streams.write("s", {"text": "c"})
        streams.end("s")
        buffer.finish(Ending.CLEAN)
        assert [await buffer.next(), await buffer.next()] == [b"1\na", Ending.CLEAN]
        assert streams.open("s", to_bytes) is not buffer

    asyncio.run(script())
