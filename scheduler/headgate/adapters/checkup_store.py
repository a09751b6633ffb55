"""Looks into the store that a scheduler would use, without taking the lead or writing anything."""

from __future__ import annotations

from pathlib import Path

from headgate.adapters.stores import open_archive
from headgate.errors import BadOption, HeadgateError
from headgate.model.finding import Check, Finding, failed, found
from headgate.model.stored import loaded
from headgate.ports import Clock


def examine_store(text: str | None, data_dir: Path, *, clock: Clock, zk_auth: str | None = None) -> Finding:
    """Whether it answers and can be read, and which framework it remembers.

    Raises:
        BadOption: there is no such kind of store.
    """
    if text is None or text.startswith("sqlite:"):
        path = data_dir / "headgate.db" if text is None else Path(text.removeprefix("sqlite:"))
        if not path.exists():
            return found(Check.STORE, f"{path} will be made at the first start")
    try:
        archive = open_archive(text, data_dir, clock=clock, zk_auth=zk_auth)
        try:
            records = loaded(archive.records.load(""))
        finally:
            archive.close()
    except BadOption:
        raise
    except HeadgateError as problem:
        return failed(Check.STORE, str(problem), "see whether it runs, and whether its credentials are right")
    framework_id = records.framework.framework_id
    if framework_id is None:
        return found(Check.STORE, "readable; no framework has been registered from it yet")
    return found(
        Check.STORE, f"readable; framework {framework_id}, {len(records.jobs)} jobs, {len(records.tasks)} tasks"
    )
