"""Load a stream program: a Python file, and the name of the `Stream` in it or of a function that returns one."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from millstream.errors import ProgramError, user_frame
from millstream.schema import nearest
from millstream.stream import Stream


def load_program(path: str | Path, object_name: str, args: Mapping[str, Any] | None = None) -> Stream:
    """The program's complete stream.

    The file runs as a module of its own, with its folder importable, as if it were run there.  If the object is a
    function it is called with `args` as keywords.

    Raises:
        ProgramError: the file cannot be read or raises, there is no such object, it is no `Stream`, or the stream is
            not complete.  `where` is the last line of the program's own file that took part.
    """
    file = Path(path).resolve()
    module = _run(file)
    found = _object(module, object_name, file)
    if isinstance(found, Stream):
        if args:
            raise ProgramError(f'"{object_name}" is a Stream and takes no args; make it a function', where=str(file))
    elif callable(found):
        found = _call(found, object_name, dict(args or {}), file)
    if not isinstance(found, Stream):
        raise ProgramError(
            f'"{object_name}" must be a Stream, or a function that returns one; it is {_described(found)}',
            where=str(file),
        )
    found.plan()
    return found


def _run(file: Path) -> ModuleType:
    if not file.is_file():
        raise ProgramError("there is no such program file", where=str(file))
    digest = hashlib.sha256(str(file).encode()).hexdigest()[:12]
    name = f"millstream_program_{digest}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ProgramError("a program is a Python file, its name ends in .py", where=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except ProgramError:
        raise
    except (Exception, SystemExit) as problem:
        raise _raised(problem, file) from problem
    return module


def _object(module: ModuleType, name: str, file: Path) -> object:
    if not hasattr(module, name):
        public = [key for key in vars(module) if not key.startswith("_")]
        streams = [key for key in public if isinstance(getattr(module, key), Stream)]
        hint = nearest(name, streams or public)
        raise ProgramError(f'the program has no object "{name}".{hint}', where=str(file))
    found: object = getattr(module, name)
    return found


def _call(function: Any, name: str, args: dict[str, Any], file: Path) -> object:
    try:
        result: object = function(**args)
    except ProgramError:
        raise
    except (Exception, SystemExit) as problem:
        raise _raised(problem, file, calling=name) from problem
    return result


def _raised(problem: BaseException, file: Path, *, calling: str | None = None) -> ProgramError:
    where = user_frame(problem, within=str(file)) or str(file)
    action = f"{calling}() raised " if calling else ""
    return ProgramError(f"{action}{type(problem).__name__}: {problem}", where=where)


def _described(found: object) -> str:
    if found is None:
        return "None (does the function return the stream?)"
    return f"{type(found).__name__} {str(found)[:80]!r}"
