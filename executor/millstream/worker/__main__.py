"""`python -m millstream.worker`."""

from __future__ import annotations

import sys

from millstream.worker.main import main

if __name__ == "__main__":
    sys.exit(main())
