"""Lets the properties of the scheduler use the paper cluster that its unit tests are written on."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "unit" / "headgate"))
