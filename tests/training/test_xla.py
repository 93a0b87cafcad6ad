"""Training steps that XLA compiles, as on one GPU: here on the processor."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
HERE = Path(__file__).parent
_SIGNATURE = re.compile(r"DeviceCompilationClusterSignature: (\w+\[_XlaMustCompile=true.*)")


def test_xla_compiles_each_kind_of_epoch_once_and_trains_alike():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "device_compiler=3"}
    command = [sys.executable, str(HERE / "xla_epochs.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=HERE)
    assert done.returncode == 0, done.stderr[-2000:]
    calls = _SIGNATURE.findall(done.stderr)
    # With the first block and without, resident and streamed. The signature holds the values of what XLA takes
    # for a constant; for each other value it would compile again.
    assert len(set(calls)) == 4 + 1
    assert len(calls) > 15  # three epochs of both, each in several parts
    losses = json.loads(done.stdout.splitlines()[-1])
    assert losses["random"][0] > losses["random"][2]
    for streamed in (False, True):
        assert losses[f"on {streamed}"] == pytest.approx(losses[f"off {streamed}"], rel=1e-3)
        assert losses[f"off {streamed}"] == losses["off False"]
