"""One small run of one arm, as the command line of a process of its own."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import numpy as np

from headstart.components.datasets.packed import write_packed

_PROGRAM = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    from headstart.components.training.stages import run_stage
    given = json.loads(sys.argv[1])
    paths = {name: Path(given.pop(name)) for name in ("dataset", "record")}
    run_stage(**given, **paths, initial_model=None, model=None, saved_model=None)
    """
)


def command(folder: Path, epochs: int, prelude: str = "") -> list[str]:
    """Train on noise for `epochs`, below `folder`; `prelude` is Python that runs first in the same process."""
    data = folder / "data"
    if not data.exists():
        data.mkdir()
        rng = np.random.default_rng(1)
        splits = {
            split: (rng.integers(0, 255, (count, 40, 40, 3), np.uint8), (np.arange(count) % 2).astype(np.int32))
            for split, count in (("train", 64), ("validation", 16), ("test", 16))
        }
        write_packed(data, {"name": "noise", "source": "here", "classes": ["a", "b"]}, splits)
    given = {
        "arm": "baseline",
        "seed": 1,
        "run_id": "r",
        "preset": "demo",
        "accelerators": 0,
        "image": "",
        "settings": {"epochs": epochs, "patience": 0, "checkpoint_seconds": 0},
        "checkpoints": str(folder / "checkpoints"),
        "dataset": str(data),
        "record": str(folder / "record"),
    }
    return [sys.executable, "-c", prelude + _PROGRAM, json.dumps(given)]
