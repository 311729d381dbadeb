"""`python -m cvbench` is `cvbench`."""

from __future__ import annotations

import sys

from cvbench.cli import main

if __name__ == "__main__":
    sys.exit(main())
