"""Commands as the documents give them: what a newcomer copies is what a journey runs.

| job | where |
|---|---|
| own photographs, mixed formats, report, predict, retrain twice, roll back | `test_own_photographs.py` |
| start from ImageNet weights, scout | `test_imagenet_start.py` |
| MLflow, TensorBoard, ONNX, TensorFlow Lite | `test_exports.py` |
| the client of a served model | `tests/documentation/test_serving.py` |
| compile, check, GitOps | `test_to_a_cluster.py` |
| from Python | `test_from_python.py`; the notebook: `tests/api/test_api.py` |
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NO_TRAINING = {"PYTHONPATH": str(ROOT / "tests/reliability/no_op")}
"""Variables with which training is a no-op."""


def _filled_in(word: str) -> str:
    """Put a name where the documents leave one to the reader."""
    return word.replace("REGISTRY", "registry.example").replace("BUCKET", "a-bucket")


def commands(document: str) -> list[list[str]]:
    """Return the words of every `headstart` command in the code blocks of a document, without `headstart`."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            words = [_filled_in(word) for word in shlex.split(line, comments=True)]
            if words and words[0].removeprefix(".venv/bin/") == "headstart":
                found.append(words[1:])
    return found


def command(document: str, *begins: str) -> list[str]:
    """Return the only command of a document that begins with these words."""
    (found,) = [words for words in commands(document) if words[: len(begins)] == list(begins)]
    return found


def run(words: list[str], folder: Path, *more: str, statuses: tuple[int, ...] = (0,), **variables: str) -> str:
    """Run `headstart` with the words of a document, and then `more` that makes it small; return what it printed."""
    given = [sys.executable, "-P", "-m", "headstart", *words, *more]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", "HOME": str(folder), "KUBECONFIG": "/dev/null"}
    environment |= variables
    done = subprocess.run(
        given, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode in statuses, f"headstart {shlex.join([*words, *more])}\n{done.stdout}"
    return done.stdout
