"""What this process has used of its machine: CPU, memory, and how long its container was throttled."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from millstream.ports import ResourceUsage

_PROC: Final = Path("/proc/self")
_CGROUPS: Final = Path("/sys/fs/cgroup")


class UsageMeter:
    """Reads the kernel's accounts.  `proc` and `cgroups` are where they are mounted."""

    def __init__(self, *, proc: Path = _PROC, cgroups: Path = _CGROUPS) -> None:
        self._statm = proc / "statm"
        self._cpu_stat = next((path for path in _cpu_stat_candidates(proc, cgroups) if path.is_file()), None)

    def __call__(self) -> ResourceUsage:
        """Usage up to now."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return ResourceUsage(
            cpu_s=used.ru_utime + used.ru_stime,
            rss_bytes=self._rss_bytes(used.ru_maxrss),
            throttled_s=self._throttled_s(),
        )

    def _rss_bytes(self, peak_kib: int) -> int:
        try:
            return int(self._statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return peak_kib * 1024

    def _throttled_s(self) -> float:
        if self._cpu_stat is None:
            return 0.0
        try:
            lines = self._cpu_stat.read_text().splitlines()
        except OSError:
            return 0.0
        counters = dict(line.split(" ", 1) for line in lines if " " in line)
        if "throttled_usec" in counters:  # version 2
            return int(counters["throttled_usec"]) / 1e6
        return int(counters.get("throttled_time", "0")) / 1e9  # version 1


def _cpu_stat_candidates(proc: Path, cgroups: Path) -> Iterator[Path]:
    """Where this process's `cpu.stat` may be: below its own group, or, inside a cgroup namespace, at the root.

    Lines of /proc/self/cgroup are `0::PATH` in version 2 and `ID:CONTROLLERS:PATH` in version 1.
    """
    try:
        lines = (proc / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            roots = [cgroups, cgroups / "unified"]
        elif "cpu" in controllers.split(","):
            roots = [cgroups / controllers, cgroups / "cpu"]
        else:
            continue
        for root in roots:
            yield root / path.lstrip("/") / "cpu.stat"
            yield root / "cpu.stat"
