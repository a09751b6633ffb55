"""The fetcher: what CommandInfo.uris names, put into a sandbox before its container starts.

Blocking; run it in a thread.  Source: E.2 of the protocol notes; Mesos, `docs/fetcher.md`.
"""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import requests

from headgate.simulator.messages import Json

CONNECT_SECONDS_MAX = 10
SILENCE_SECONDS_MAX = 60
_CHUNK_BYTES = 1 << 20


class FetchFailed(Exception):
    """A URI could not be fetched or extracted; the text says which and why."""


def fetch(uris: Sequence[Json], sandbox: Path) -> None:
    """Fetch all URIs in their order.

    Raises:
        FetchFailed: at the first that fails; what came before it stays.
    """
    for uri in uris:
        try:
            _fetch_one(uri, sandbox)
        except (
            OSError,
            EOFError,
            ValueError,
            requests.RequestException,
            tarfile.TarError,
            zipfile.BadZipFile,
            lzma.LZMAError,
        ) as fault:
            raise FetchFailed(f"Failed to fetch '{uri['value']}': {fault}") from fault


def _fetch_one(uri: Json, sandbox: Path) -> None:
    value = uri["value"].strip()
    target = _inside(sandbox, uri.get("output_file") or PurePosixPath(unquote(urlsplit(value).path)).name)
    target.parent.mkdir(parents=True, exist_ok=True)
    if value.startswith(("http://", "https://")):
        _download(value, target)
    else:
        shutil.copyfile(_local(value, sandbox), target)
    if uri.get("executable"):
        target.chmod(target.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    elif uri.get("extract", True):
        _extract(target, sandbox)


def _inside(sandbox: Path, name: str) -> Path:
    target = sandbox / name
    if not name or not target.resolve().is_relative_to(sandbox.resolve()):
        raise ValueError(f"'{name}' is no name for a file in the sandbox")
    return target


def _local(value: str, sandbox: Path) -> Path:
    parts = urlsplit(value)
    if parts.scheme not in ("", "file"):
        raise ValueError(f"this cluster fetches local paths, file, http and https, not '{parts.scheme}'")
    path = value if not parts.scheme else unquote(parts.path)
    if not path.startswith("/"):
        raise ValueError("a relative path was passed for the resource, but the agent has no frameworks home")
    if sandbox in Path(path).parents:
        raise ValueError("the sandbox is no source")
    return Path(path)


def _download(url: str, target: Path) -> None:
    timeouts = (CONNECT_SECONDS_MAX, SILENCE_SECONDS_MAX)
    with requests.get(url, stream=True, timeout=timeouts) as answer, target.open("wb") as file:
        answer.raise_for_status()
        for chunk in answer.iter_content(_CHUNK_BYTES):
            file.write(chunk)


_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


def _extract(archive: Path, sandbox: Path) -> None:
    """Unpack an archive beside itself, if its name says it is one."""
    name = archive.name
    if name.endswith(_TAR):
        with tarfile.open(archive) as tar:
            _extract_tar(tar, sandbox)
    elif name.endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            _extract_zip(packed, sandbox)
    elif name.endswith(".gz"):
        with gzip.open(archive, "rb") as source, (sandbox / name.removesuffix(".gz")).open("wb") as out:
            shutil.copyfileobj(source, out, _CHUNK_BYTES)


def _extract_tar(tar: tarfile.TarFile, sandbox: Path) -> None:
    root = sandbox.resolve()
    for member in tar.getmembers():
        if not (root / member.name).resolve().is_relative_to(root):
            raise ValueError(f"'{member.name}' of the archive lies outside the sandbox")
    if hasattr(tarfile, "tar_filter"):
        tar.extractall(root, filter="tar")
    else:
        tar.extractall(root)


def _extract_zip(packed: zipfile.ZipFile, sandbox: Path) -> None:
    for entry in packed.infolist():
        path = Path(packed.extract(entry, sandbox))
        mode = entry.external_attr >> 16 & 0o777
        if mode and path.is_file():
            os.chmod(path, mode)
