"""Bundles: a program's files as one zip that depends on nothing but their names and bytes, kept under its SHA-256.

Equal files give equal bundles on every machine: names sorted, one date, one mode, no compression (whose bytes differ
between versions of zlib).  The bundle's hash is the program's revision; workers and checkpoints carry it.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headgate.errors import BadJob, HeadgateError
from headgate.model.job import Program

BYTES_MAX = 64 * 1024 * 1024
"""More than a program; data and models belong in an image, or in `container.fetch`."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
_REGULAR_FILE = 0o100644 << 16


class BundleRefused(HeadgateError):
    """These bytes are not the bundle they are said to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The zip and what is in it; `names` are sorted and relative to the job file's folder."""

    data: bytes
    names: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The hash of the zip, in hex: the program's revision."""
        return hashlib.sha256(self.data).hexdigest()


def build_bundle(folder: Path, program: Program) -> Bundle:
    """The bundle of a program whose files lie in `folder`: its file, and all that `include` matches.

    Bytecode caches are left out; links are followed as long as they stay in the folder.

    Raises:
        BadJob: a file or pattern finds nothing, leads out of the folder, or the bundle is too large.
    """
    mistakes: list[str] = []
    found: set[Path] = set()
    if (folder / program.file).is_file():
        found.add(Path(program.file))
    else:
        mistakes.append(f"program.file: there is no {program.file} in {folder}")
    for at, pattern in enumerate(program.include):
        try:
            matched = [each.relative_to(folder) for each in folder.glob(pattern) if _belongs(each)]
        except ValueError as problem:
            mistakes.append(f"program.include[{at}]: {pattern!r} is not a pattern of files: {problem}")
            continue
        if not matched:
            mistakes.append(f"program.include[{at}]: {pattern!r} matches no file in {folder}")
        found.update(matched)
    names = sorted(each.as_posix() for each in found)
    real = folder.resolve()
    mistakes.extend(
        f"program: {name} is a link that leads out of {folder}; copy the file instead"
        for name in names
        if not (folder / name).resolve().is_relative_to(real)
    )
    if mistakes:
        raise BadJob(tuple(mistakes))
    return Bundle(data=_zipped(_contents(folder, names)), names=tuple(names))


def unpack(data: bytes, folder: Path) -> None:
    """Write a bundle's files below `folder`, as an agent does in a sandbox."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)


class SharedBundles(Protocol):
    """Bundles that all schedulers of a store can reach."""

    def put(self, sha256: str, data: bytes) -> None:
        """Keep a bundle; repeating it changes nothing.

        Raises:
            BundleRefused: it is too large.
            StoreUnavailable: no answer.
        """

    def get(self, sha256: str) -> bytes | None:
        """A bundle, whole; None when it is not there.

        Raises:
            StoreUnavailable: no answer.
        """


class BundleStore:
    """Bundles in a folder, each in a file named by its hash.  Safe for several threads and processes.

    Where they are shared, the folder only spares the way: what is saved goes to the others first, and what is not here
    is looked for there.
    """

    def __init__(self, folder: Path, shared: SharedBundles | None = None) -> None:
        self._folder = folder
        self._shared = shared
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, sha256: str) -> Path | None:
        """The file of a bundle; None when it is not here (or that is no hash).

        Raises:
            StoreUnavailable: not here, and those who share do not answer.
        """
        if not _is_sha256(sha256):
            return None
        path = self._folder / f"{sha256}.zip"
        if path.is_file():
            return path
        data = None if self._shared is None else self._shared.get(sha256)
        return None if data is None else self._keep(path, data)

    def save(self, sha256: str, data: bytes) -> Path:
        """Keep a bundle; repeating it changes nothing.  It is whole under its name, or not there.

        Raises:
            BundleRefused: the data has another hash, or is no zip, or is too large to be shared.
            StoreUnavailable: those who share do not answer.
        """
        if hashlib.sha256(data).hexdigest() != sha256:
            raise BundleRefused(f"the data is not the bundle {sha256}: its SHA-256 differs; send it again")
        if not zipfile.is_zipfile(io.BytesIO(data)):
            raise BundleRefused("a bundle is a zip, and this is none")
        if self._shared is not None:
            self._shared.put(sha256, data)
        path = self._folder / f"{sha256}.zip"
        return path if path.is_file() else self._keep(path, data)

    def _keep(self, path: Path, data: bytes) -> Path:
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=".incoming-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        return path


def _belongs(path: Path) -> bool:
    return path.is_file() and path.suffix != ".pyc"


def _contents(folder: Path, names: list[str]) -> list[tuple[str, bytes]]:
    size = 0
    contents = []
    for name in names:
        try:
            size += (folder / name).stat().st_size
            if size > BYTES_MAX:
                limit = f"a bundle has at most {BYTES_MAX >> 20} MiB, and with {name} these files have {size >> 20} MiB"
                raise BadJob((f"program.include: {limit}; put data into container.image or container.fetch",))
            contents.append((name, (folder / name).read_bytes()))
        except OSError as problem:
            raise BadJob((f"program: {name} cannot be read: {problem.strerror}",)) from problem
    return contents


def _is_sha256(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def _zipped(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = 3
            entry.external_attr = _REGULAR_FILE
            archive.writestr(entry, content)
    return buffer.getvalue()
