"""Fuzzes one target with atheris: `python tests/fuzzing/fuzz.py TARGET SECONDS_OR_0 RUNS_OR_-1 [SEED]`.

Ends with 0 where nothing broke; the last line says how many inputs were tried.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=[
        "headstart.components.datasets",
        "headstart.components.records",
        "headstart.components.progress",
        "headstart.components.training.checkpoint",
        "headstart.components.training.attempts",
        "headstart.components.credentials",
        "headstart.components.foreign_text",
        "headstart.components.training.lineage",
        "headstart.components.promotion.integrity",
        "headstart.components.promotion.provenance",
        "headstart.pipelines.configuration",
        "headstart.pipelines.own_files",
        "headstart.pipelines.submission",
    ]
):
    import targets


def main() -> None:
    name, seconds, runs = sys.argv[1:4]
    seed = sys.argv[4] if len(sys.argv) > 4 else "1"
    place = Path(tempfile.mkdtemp(prefix="headstart-corpus-", dir=targets.SCRATCH))
    for number, data in enumerate(targets.corpus(name)):
        (place / f"seed-{number}").write_bytes(data)
    # Small ones, for many a second: twice the longest that it starts from.
    longest = min(8192, max(512, 2 * max(map(len, targets.corpus(name)))))
    limits = [f"-max_total_time={seconds}", f"-runs={runs}", f"-seed={seed}", f"-max_len={longest}", "-len_control=0"]
    # An input that takes longer or more than this would do harm as well.
    limits += ["-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1", f"-artifact_prefix={place.parent}/crash-"]
    atheris.Setup([sys.argv[0], *limits, str(place)], targets.refusing(targets.TARGETS[name]))
    try:
        atheris.Fuzz()
    finally:
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
