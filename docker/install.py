"""Install one side of Headgate into an image: the packages that are there, an extra's dependencies, the commands.

    python3 docker/install.py EXTRA

The distribution holds two packages; an image holds one side of it.  So this drops from setup.cfg the packages and
commands whose source was not copied beside it, and lets pip install the rest, with the versions of constraints.txt.
Needs nothing but the standard library and pip.  Changes the setup.cfg it reads: run it on a copy.
"""

from __future__ import annotations

import argparse
import configparser
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent


def main() -> None:
    """Entry of the command."""
    parser = argparse.ArgumentParser(description="install one side of Headgate into an image")
    parser.add_argument("extra", help="extra of setup.cfg whose dependencies are installed")
    extra = parser.parse_args().extra
    trim(SOURCE / "setup.cfg")
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--root-user-action=ignore"]
    subprocess.run([*pip, "--constraint", SOURCE / "constraints.txt", f"{SOURCE}[{extra}]"], check=True)


def trim(path: Path) -> None:
    """Leave in a setup.cfg only packages and commands whose source lies beside it, and files that are there."""
    config = configparser.ConfigParser(delimiters=("=",))
    config.read_string(path.read_text(encoding="utf-8"))
    options = config["options"]
    folders = dict(line.split(" = ") for line in _lines(options["package_dir"]))

    def source(module: str) -> Path:
        package, _, rest = module.partition(".")
        return path.parent.joinpath(folders[package], *rest.split(".")) if rest else path.parent / folders[package]

    packages = [name for name in _lines(options["packages"]) if (source(name) / "__init__.py").is_file()]
    options["packages"] = "\n" + "\n".join(packages)
    entry_points = config["options.entry_points"]
    for group in list(entry_points):
        kept = [
            line
            for line in _lines(entry_points[group])
            if source(line.split(" = ")[1].split(":")[0]).with_suffix(".py").is_file()
        ]
        if kept:
            entry_points[group] = "\n" + "\n".join(kept)
        else:
            del entry_points[group]
    for key in ("long_description", "long_description_content_type", "license_files"):
        config["metadata"].pop(key, None)
    config.remove_section("options.data_files")
    with path.open("w", encoding="utf-8") as file:
        config.write(file)


def _lines(value: str) -> list[str]:
    return [line.strip() for line in value.splitlines() if line.strip()]


if __name__ == "__main__":
    main()
