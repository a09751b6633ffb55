"""`/files/…` of an agent: sandboxes by their real or virtual paths.

A virtual path `/frameworks/F/executors/E/runs/C` (or `runs/latest`) stands for the sandbox of any agent id below the
work directory.  Nothing outside the work directory is shown.

Source: F.3 of the protocol notes; `files.cpp`.
"""

from __future__ import annotations

import base64
import grp
import os
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path

from headgate.simulator.messages import Json, Reply

ENDPOINTS = ("/browse", "/read", "/download", "/debug")
READ_BYTES_MAX = 16 * 4096
_NO_PATH = Reply(status=400, body="Expecting 'path=value' in query.\n")


def answer(endpoint: str, query: Mapping[str, str], work_dir: Path | None) -> Reply | bytes:
    """What one of the endpoints says; bytes are the download itself.  Without a work directory nothing is there."""
    if endpoint == "/debug":
        return Reply(status=200, body={"/": str(work_dir)} if work_dir else {})
    if "path" not in query:
        return _NO_PATH
    path = resolve(query["path"], work_dir) if work_dir else None
    if path is None:
        return Reply(status=404)
    try:
        if endpoint == "/browse":
            return _browse(query["path"].rstrip("/"), path)
        return _read(path, query) if endpoint == "/read" else _download(path)
    except OSError as fault:
        return Reply(status=500, body=f"Failed to open file at '{path}': {fault.strerror}.\n")


def list_files(call: Json, work_dir: Path | None) -> Reply:
    """LIST_FILES of the operator APIs."""
    found = answer("/browse", {"path": call["path"]}, work_dir)
    if not isinstance(found, Reply) or not isinstance(found.body, list):
        assert isinstance(found, Reply)
        return found
    path = resolve(call["path"], work_dir) if work_dir else None
    assert path is not None
    infos = []
    for entry in found.body:
        status = (path / str(entry["path"]).rpartition("/")[2]).lstat()
        infos.append({**entry, "mtime": {"nanoseconds": int(status.st_mtime) * 10**9}, "mode": status.st_mode})
    return Reply(status=200, body={"type": "LIST_FILES", "list_files": {"file_infos": infos}})


def read_file(call: Json, work_dir: Path | None) -> Reply:
    """READ_FILE of the operator APIs: the file's size and up to 64 KiB of it."""
    path = resolve(call["path"], work_dir) if work_dir else None
    if path is None:
        return Reply(status=404)
    if path.is_dir():
        return Reply(status=400, body="Cannot read a directory.\n")
    try:
        data = _bytes_of(path, call["offset"], call.get("length", READ_BYTES_MAX))
        body = {"size": path.stat().st_size, "data": base64.b64encode(data).decode()}
    except OSError as fault:
        return Reply(status=500, body=f"Failed to open file at '{path}': {fault.strerror}.\n")
    return Reply(status=200, body={"type": "READ_FILE", "read_file": body})


def _bytes_of(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        os.lseek(file.fileno(), offset, os.SEEK_SET)
        return file.read(min(READ_BYTES_MAX, length))


def resolve(asked: str, work_dir: Path) -> Path | None:
    """The existing file or folder a path stands for."""
    root = work_dir.resolve()
    if asked.startswith("/frameworks/"):
        tries = [agent / asked[1:] for agent in sorted((root / "slaves").glob("*"))]
    else:
        tries = [Path(asked)]
    for candidate in tries:
        found = candidate.resolve()
        if found.is_relative_to(root) and found.exists():
            return found
    return None


def _browse(asked: str, path: Path) -> Reply:
    if not path.is_dir():
        return Reply(status=404)
    listed: list[Json] = []
    for entry in sorted(path.iterdir()):
        status = entry.lstat()
        listed.append(
            {
                "gid": _name_of_group(status.st_gid),
                "mode": stat.filemode(status.st_mode),
                "mtime": float(int(status.st_mtime)),
                "nlink": status.st_nlink,
                "path": f"{asked}/{entry.name}",
                "size": status.st_size,
                "uid": _name_of_user(status.st_uid),
            }
        )
    return Reply(status=200, body=listed)


def _name_of_user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _name_of_group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _read(path: Path, query: Mapping[str, str]) -> Reply:
    numbers: dict[str, int] = {}
    for name in ("offset", "length"):
        try:
            numbers[name] = int(query.get(name, "-1"))
        except ValueError:
            return Reply(status=400, body=f"Failed to parse {name}: Failed to convert '{query[name]}' to number.\n")
        if numbers[name] < -1:
            return Reply(status=400, body=f"Negative {name} provided: {numbers[name]}.\n")
    if path.is_dir():
        return Reply(status=400, body="Cannot read a directory.\n")
    size = path.stat().st_size
    offset, length = numbers["offset"], numbers["length"]
    if offset == -1:
        return Reply(status=200, body={"data": "", "offset": size})
    data = _bytes_of(path, offset, size if length == -1 else length)
    return Reply(status=200, body={"data": data.decode("utf-8", "replace"), "offset": offset if data else size})


def _download(path: Path) -> Reply | bytes:
    if path.is_dir():
        return Reply(status=400, body="Cannot download a directory.\n")
    return path.read_bytes()
