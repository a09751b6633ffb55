"""The distribution carries both packages whole, and nothing else."""

import configparser
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import millstream
from millstream import language

ROOT = Path(__file__).parents[2]


def test_setup_lists_every_package() -> None:
    """A folder with modules that setup.cfg does not name would be missing from the wheel."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = [line for line in config["options"]["packages"].splitlines() if line]
    found = sorted(
        str(init.parent.relative_to(ROOT / source)).replace("/", ".")
        for source in ("scheduler", "executor")
        for init in (ROOT / source).rglob("__init__.py")
    )
    assert listed == found


def test_every_package_says_what_belongs_there() -> None:
    """Each `__init__` opens with a docstring."""
    silent = [
        str(init.relative_to(ROOT))
        for source in ("scheduler", "executor")
        for init in (ROOT / source).rglob("__init__.py")
        if not init.read_text(encoding="utf-8").lstrip().startswith('"""')
    ]
    assert silent == []


def test_the_wheel_holds_two_packages_and_nothing_else(tmp_path: Path) -> None:
    """Top level of the built wheel: headgate, millstream, and the metadata."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir"]
    copy = tmp_path / "source"
    copied = ["setup.cfg", "pyproject.toml", "README.md", "LICENSE", "scheduler", "executor", "examples"]
    copy.mkdir()
    subprocess.run(["cp", "-r", *(str(ROOT / name) for name in copied), str(copy)], check=True)
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(copy)], check=True, timeout=110)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.startswith("headgate-")} == {"headgate", "millstream"}
    assert {"headgate/py.typed", "millstream/py.typed", "headgate/core/__init__.py"} <= set(names)
    assert not [name for name in names if "test" in name.split("/")[0]]


@pytest.mark.parametrize(
    ("absent", "modules"),
    [
        (
            ["polars"],
            ["headgate.commands.program", "headgate.main", "headgate.commands.jobs", "headgate.commands.serve"],
        ),
        (["polars"], ["headgate.commands.explain", "headgate.commands.doctor", "headgate.commands.job_files"]),
        (
            ["kazoo", "numpy", "litestar", "click", "yaml"],
            ["millstream", "millstream.language", "millstream.worker.main"],
        ),
    ],
)
def test_one_side_loads_without_what_the_other_needs(absent: list[str], modules: list[str]) -> None:
    """The extras `scheduler` and `worker` can be installed one without the other."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({absent}))"
    load = "; ".join(f"import {module}" for module in modules)
    command = [sys.executable, "-c", f"{hide}; {load}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr


def test_all_words_are_found_where_programs_look_for_them() -> None:
    """`from millstream import …` and `import *` have every word, and say what is not one."""
    starred: dict[str, object] = {}
    exec("from millstream import *", starred)
    assert {name for name in starred if not name.startswith("__")} == set(language.__all__)
    assert millstream.max is language.max
    assert {"Stream", "files"} <= set(dir(millstream))
    with pytest.raises(AttributeError, match="module 'millstream' has no attribute 'Strem'"):
        _ = getattr(millstream, "Str" + "em")
