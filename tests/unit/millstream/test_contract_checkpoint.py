"""Log entries as bytes: what is written is read back, and what is not whole is refused."""

from __future__ import annotations

import json

import pytest

from millstream.contract.checkpoint import (
    BrokenEntry,
    FileRef,
    LogEntry,
    Manifest,
    ShardCounters,
    SinkOutput,
    decode_entry,
    encode_entry,
    sha256,
)

MANIFEST = Manifest(
    shard="2013/01.jsonl",
    epoch=7,
    number=12,
    program_revision="abc",
    created_at_s=1.5,
    delivery="exactly-once",
    positions={"source": 2**53 + 1},
    watermark_us=2**63 - 1,
    finished=True,
    state_shape="keys origin",
    state_files=(FileRef(name="a", bytes=3, sha256="x"), FileRef(name="b", bytes=4, sha256="y")),
    outputs=(SinkOutput(sink="sink0", data={"name": "n", "bytes": 5}),),
    counters=ShardCounters(records_in=1, records_out=2, late=3, dead=4, replayed=5),
    accumulators={"whole": 1, "part": 0.5},
)


@pytest.mark.parametrize("manifest", [None, MANIFEST])
def test_an_entry_is_read_back_as_it_was_written(manifest: Manifest | None) -> None:
    entry = LogEntry(number=12, epoch=7, owner="w.1", at_s=1.5, previous="p", manifest=manifest)
    assert decode_entry(encode_entry(entry)) == entry


def test_the_manifest_can_be_read_with_json_alone() -> None:
    entry = LogEntry(number=12, epoch=7, owner="w.1", at_s=1.5, manifest=MANIFEST)
    manifest = json.loads(encode_entry(entry))["body"]["manifest"]
    assert manifest["positions"] == {"source": 2**53 + 1}
    assert manifest["state_files"][1] == {"name": "b", "bytes": 4, "sha256": "y"}
    assert MANIFEST.state_bytes == 7


def test_every_changed_byte_and_every_cut_is_noticed() -> None:
    """But for changes of white space outside the body, which JSON does not see: there is none in what we write."""
    data = encode_entry(LogEntry(number=3, epoch=1, owner="w", at_s=0.0))
    for index in range(len(data)):
        with pytest.raises(BrokenEntry):
            decode_entry(data[:index])
        changed = bytes([data[index] ^ 1])
        with pytest.raises(BrokenEntry):
            decode_entry(data[:index] + changed + data[index + 1 :])


def test_an_unknown_version_is_refused_in_words() -> None:
    data = encode_entry(LogEntry(number=3, epoch=1, owner="w", at_s=0.0, version=99))
    with pytest.raises(BrokenEntry, match="version 99, this program reads 1"):
        decode_entry(data)


def test_an_entry_of_this_version_stays_readable() -> None:
    """Written by the first version: an entry in this form must load for as long as version 1 does."""
    body = (
        b'{"number":2,"epoch":1,"owner":"w","at_s":5.0,"previous":"","manifest":{"shard":"s","epoch":1,"number":2,'
        b'"program_revision":"","created_at_s":5.0,"delivery":"exactly-once","positions":{"source":10},'
        b'"watermark_us":null,"finished":false,"state_shape":"","state_files":[],"outputs":[],"counters":'
        b'{"records_in":10,"records_out":0,"late":0,"dead":0,"replayed":0},"accumulators":{},"version":1},"version":1}'
    )
    entry = decode_entry(b'{"sha256":"' + sha256(body).encode() + b'","body":' + body + b"}")
    assert entry.manifest is not None
    assert entry.manifest.positions == {"source": 10}
    assert entry.manifest.counters.taken_over == 0
    assert decode_entry(encode_entry(entry)) == entry
