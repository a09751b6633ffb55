"""Bundles: equal files give equal bytes; nothing gets in by accident, nothing is missing in silence."""

from __future__ import annotations

import hashlib
import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from headgate.adapters import bundles
from headgate.adapters.bundles import BundleRefused, BundleStore, build_bundle, unpack
from headgate.errors import BadJob
from headgate.model.job import Program


def project(folder: Path) -> Path:
    (folder / "lib" / "__pycache__").mkdir(parents=True)
    (folder / "main.py").write_text("stream = 1\n")
    (folder / "lib" / "a.py").write_text("A = 1\n")
    (folder / "lib" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (folder / "words.txt").write_text("one two\n")
    return folder


PROGRAM = Program(file="main.py", include=("lib/**/*", "*.txt"))


def test_a_bundle_holds_the_program_and_what_it_includes(tmp_path: Path) -> None:
    bundle = build_bundle(project(tmp_path), PROGRAM)
    assert bundle.names == ("lib/a.py", "main.py", "words.txt")
    with zipfile.ZipFile(BytesIO(bundle.data)) as archive:
        assert archive.read("lib/a.py") == b"A = 1\n"
    assert bundle.sha256 == hashlib.sha256(bundle.data).hexdigest()


def test_equal_files_make_equal_bundles_whatever_their_dates_and_modes(tmp_path: Path) -> None:
    one, other = project(tmp_path / "one"), project(tmp_path / "other")
    os.utime(other / "main.py", (1, 1))
    (other / "lib" / "a.py").chmod(0o600)
    assert build_bundle(one, PROGRAM).data == build_bundle(other, PROGRAM).data
    (other / "words.txt").write_text("one two \n")
    assert build_bundle(one, PROGRAM).sha256 != build_bundle(other, PROGRAM).sha256


def test_the_format_stays_so_that_revisions_survive_a_new_release(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_bytes(b"stream = 1\n")
    assert build_bundle(tmp_path, Program(file="main.py")).sha256 == (
        "1bc9272837f51eb81394876c4796830a92dc8ed36f32b351902b3e468267d982"
    )


def test_what_finds_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadJob) as caught:
        build_bundle(project(tmp_path), Program(file="mian.py", include=("*.csv", "a**b", "*.txt")))
    assert caught.value.mistakes[0] == f"program.file: there is no mian.py in {tmp_path}"
    assert caught.value.mistakes[1] == f"program.include[0]: '*.csv' matches no file in {tmp_path}"
    assert caught.value.mistakes[2].startswith("program.include[1]: 'a**b' ")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path / "job")
    (tmp_path / "secret.txt").write_text("x")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(BadJob, match=r"link\.txt is a link that leads out of"):
        build_bundle(folder, PROGRAM)


def test_a_bundle_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "BYTES_MAX", 10)
    with pytest.raises(BadJob, match="a bundle has at most"):
        build_bundle(project(tmp_path), PROGRAM)


def test_unpacking_gives_the_files_back(tmp_path: Path) -> None:
    bundle = build_bundle(project(tmp_path / "job"), PROGRAM)
    unpack(bundle.data, tmp_path / "sandbox")
    files = (path for path in (tmp_path / "sandbox").rglob("*") if path.is_file())
    assert {str(path.relative_to(tmp_path / "sandbox")) for path in files} == set(bundle.names)


def test_the_store_keeps_bundles_under_their_hash(tmp_path: Path) -> None:
    bundle = build_bundle(project(tmp_path / "job"), PROGRAM)
    store = BundleStore(tmp_path / "store")
    assert store.find(bundle.sha256) is None
    path = store.save(bundle.sha256, bundle.data)
    assert path == store.save(bundle.sha256, bundle.data) == store.find(bundle.sha256)
    assert path.read_bytes() == bundle.data
    assert BundleStore(tmp_path / "store").find(bundle.sha256) == path
    assert [each.name for each in path.parent.iterdir()] == [f"{bundle.sha256}.zip"]


def test_the_store_refuses_what_is_not_what_it_says(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    with pytest.raises(BundleRefused, match="SHA-256 differs"):
        store.save("0" * 64, b"PK")
    with pytest.raises(BundleRefused, match="a bundle is a zip"):
        store.save(hashlib.sha256(b"no zip").hexdigest(), b"no zip")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_only_hashes_are_looked_for(tmp_path: Path, name: str) -> None:
    assert BundleStore(tmp_path).find(name) is None
