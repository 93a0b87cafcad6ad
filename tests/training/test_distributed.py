"""Several devices in step do what one does: on two logical processors, since accelerators are rare."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def compare(**recipe: object) -> dict:
    command = [sys.executable, str(HERE / "two_devices.py"), json.dumps(recipe)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_two_devices_train_as_one():
    found = compare(batch_size=32, learning_rate=1e-4, epochs=2)
    assert found["replicas"] == 2
    assert found["odd"] == 32  # of 33 images, fewer than a batch
    assert found["untouched"] == 0  # by warming up
    for one, two in found["losses"]:
        assert two == pytest.approx(one, rel=1e-3)
    # Twice the gradient would be 100 % off; Adam alone would not show it, its averages of gradients do.
    assert len(found["moments"]) == 18
    assert max(found["moments"]) < 0.1
    assert found["repeats"]
    assert found["evaluated"][1] == pytest.approx(found["evaluated"][0], rel=1e-3)


@pytest.mark.slow
def test_two_devices_repeat_themselves_with_everything_random_on():
    found = compare(batch_size=32, learning_rate=1e-4, epochs=2, flip=True, shift=2, dropout=0.3)
    assert found["untouched"] == 0
    assert found["repeats"]
    assert found["again"] == [two for _, two in found["losses"]]
