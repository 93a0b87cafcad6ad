"""`python -m headstart`: the command line."""

import os
import sys

# `python -m` puts the working directory first on the path: a file there called as one of our imports would be run.
if not sys.flags.safe_path and sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - before any import
    del sys.path[0]

from headstart.pipelines.cli import main

if __name__ == "__main__":
    main()
