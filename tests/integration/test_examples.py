"""The examples that check their own answer, each run as its documentation says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 200


@pytest.mark.parametrize("name", ["meters"])
def test_it_runs_with_one_command_and_its_answer_is_right(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(
        EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns("result", "readings", ".headgate")
    )
    done = subprocess.run(
        [sys.executable, str(folder / "try.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "equal: yes"
