"""Install one side of Headgate into an image: an extra's dependencies, and the source folders that the image carries.

    python docker/install.py EXTRA --source FOLDER --package FOLDER/PACKAGE [--package …]

The distribution holds both packages; an image holds one side of it, so the packages are copied into site-packages and
only the dependencies are installed by pip, in the versions of constraints.txt.  Needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import compileall
import configparser
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def requirements(source: Path, extra: str) -> list[str]:
    """The distributions that the packages and this extra need, as setup.cfg says."""
    config = configparser.ConfigParser()
    config.read_string((source / "setup.cfg").read_text(encoding="utf-8"))
    text = config["options"]["install_requires"] + "\n" + config["options.extras_require"][extra]
    return [line.strip() for line in text.splitlines() if line.strip()]


def main() -> None:
    """Entry of the command."""
    parser = argparse.ArgumentParser(description="install one side of Headgate into an image")
    parser.add_argument("extra")
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--package", action="append", required=True, help="source folder of a package, below --source")
    options = parser.parse_args()
    pip = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--constraint", options.source / "constraints.txt"]
    subprocess.run([*pip, *requirements(options.source, options.extra)], check=True)
    site = Path(sysconfig.get_paths()["purelib"])
    for package in options.package:
        folder = options.source / package
        shutil.copytree(folder, site / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(site / folder.name, quiet=1)


if __name__ == "__main__":
    main()
