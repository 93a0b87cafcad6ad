"""A process that has TensorFlow imported and forks runs, shared by the tests that need many processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_images

from headstart.components.training.specification import RunSpecification
from tests.processes import alive


class Zygote:
    """Starts runs by forking; a run can be killed or asked to stop on its way."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def run(
        self,
        spec: RunSpecification,
        scratch: Path,
        *,
        epochs: int | None = None,
        delay: float = 0.0,
        send: int = signal.SIGKILL,
    ) -> int:
        """Run `spec` and return its exit status; send it a signal `delay` seconds after `epochs` more are done.

        0 epochs: that long after it was started.
        """
        file = scratch / "run.json"
        file.write_text(spec.model_dump_json())
        before = epochs_in_journal(spec)
        assert self._process.stdin is not None
        self._process.stdin.write(f"{file}\n")
        self._process.stdin.flush()
        word, pid = self._line().split()
        assert word == "pid"
        if epochs is not None:
            while alive([int(pid)]) and epochs_in_journal(spec) - before < epochs:
                time.sleep(0.002)
            time.sleep(delay)
            if alive([int(pid)]):
                os.kill(int(pid), send)
        word, status = self._line().split()
        assert word == "ended"
        return int(status)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()


def epochs_in_journal(spec: RunSpecification) -> int:
    """Epochs that all attempts at a run have finished, as its journal says."""
    try:
        return Path(spec.checkpoints, "journal.txt").read_text().count("epoch")
    except FileNotFoundError:
        return 0


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    started = Zygote()
    yield started
    started.close()


@pytest.fixture(scope="session")
def source_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_images.packed(tmp_path_factory.mktemp("source"), 6, 96)


@pytest.fixture(scope="session")
def target_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_images.packed(tmp_path_factory.mktemp("target"), 3, 96, seed=50)


@pytest.fixture(scope="session")
def initial_model(zygote: Zygote, source_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that was trained for three epochs on the source set."""
    folder = tmp_path_factory.mktemp("initial")
    given = tiny_images.call(folder, "pretrain", source_set, settings={"epochs": 3, "dropout": 0.3})
    spec = RunSpecification(**given | {"model": folder / "model"})
    assert zygote.run(spec, folder) == 0
    return folder / "model"
