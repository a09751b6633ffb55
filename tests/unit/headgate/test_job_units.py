"""Amounts as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.core.units import duration_text, find_intended_size, find_mib, find_seconds, size_text


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("2m", 120), ("1d", 86400), ("1h30m", 5400), ("500ms", 0.5), ("1.5h", 5400), (7, 7), (0.25, 0.25)],
)
def test_durations(written: object, seconds: float) -> None:
    assert find_seconds(written) == seconds


@pytest.mark.parametrize(
    "written", ["", "30", "s", "3 s", "-3s", "2w", "1e3s", True, None, -1, float("inf"), "9" * 20 + "d"]
)
def test_no_durations(written: object) -> None:
    assert find_seconds(written) is None


@pytest.mark.parametrize(
    ("written", "mib"),
    [("512MiB", 512), ("1GiB", 1024), ("1.5GiB", 1536), ("1TiB", 1048576), ("512KiB", 0.5), (64, 64)],
)
def test_sizes(written: object, mib: float) -> None:
    assert find_mib(written) == mib


@pytest.mark.parametrize("written", ["", "1", "1GB", "1Gi", "1gib", "MiB", "-1MiB", False, None, 10**400, float("nan")])
def test_no_sizes(written: object) -> None:
    assert find_mib(written) is None


@pytest.mark.parametrize(
    ("written", "meant"), [("1GB", "1GiB"), ("512m", "512MiB"), ("2 gi", "2GiB"), ("1GiBB", None), (3, None)]
)
def test_near_misses_of_sizes(written: object, meant: str | None) -> None:
    assert find_intended_size(written) == meant


@given(st.integers(0, 10**8).map(lambda ms: ms / 1000))
def test_a_duration_written_is_read_back(seconds: float) -> None:
    assert find_seconds(duration_text(seconds)) == pytest.approx(seconds, rel=1e-5, abs=1e-9)


@given(st.integers(1, 10**6))
def test_a_size_written_is_read_back(mib: int) -> None:
    assert find_mib(size_text(mib)) == mib
