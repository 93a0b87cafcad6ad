"""The built image: what is in it and what is not, and that it works for a platform that trusts nothing."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture(scope="module")
def image() -> str:
    name = os.environ.get("HEADSTART_TEST_IMAGE", "")
    if not name:
        pytest.skip("HEADSTART_TEST_IMAGE names no built image; docker/ci.sh builds one")
    if shutil.which("docker") is None:
        pytest.skip("docker is not here")
    return name


def in_image(image: str, script: str, *options: str) -> str:
    """Run a shell script as an arbitrary user in a container with a read-only root and without capabilities."""
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "host", "--read-only", "--tmpfs", "/tmp:exec,mode=1777",
         "--user", "123456:0", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", *options, image,
         "sh", "-euc", script],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_said_about_it(image: str) -> None:
    done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=True)
    [described] = json.loads(done.stdout)
    configuration = described["Config"]
    assert configuration["User"] == "1000:0"
    assert not configuration["Entrypoint"]  # the platform brings whole commands
    labels = configuration["Labels"]
    assert image.endswith(f":{labels['org.opencontainers.image.version']}")
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.revision"] != "unknown"
    environment = dict(entry.split("=", 1) for entry in configuration["Env"])
    assert environment["HOME"] == "/tmp"
    # Nothing of the place where it was built: no index, no certificate, no proxy.
    assert not {name for name in environment if name.startswith(("PIP_", "HTTP", "SSL", "REQUESTS"))}


def test_nothing_is_left_in_that_a_run_does_not_need(image: str) -> None:
    leftovers = in_image(
        image,
        """
        for tool in gcc cc g++ make git; do if command -v $tool; then :; fi; done
        ls -d /build /opt/headstart/bin/pip* /tmp/* 2>/dev/null || true
        find /opt/headstart -name '*.whl'
        find /opt/headstart -path '*/numpy/*' -path '*/tests/test_*.py'
        find /opt/headstart -path '*/tensorflow/include/*'
        """,
    )
    assert leftovers == ""


def test_commands_and_stages_work_for_any_user(image: str) -> None:
    said = in_image(
        image,
        """
        headstart --version
        touch /tmp/ours
        python - <<'PYTHON'
import keras, tensorflow as tf
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
model.compile("sgd", "mse"); model.fit(tf.ones((8, 4)), tf.ones((8, 2)), verbose=0)
model.save("/tmp/m.keras"); keras.models.load_model("/tmp/m.keras"); print("trained")
PYTHON
        python - <<'PYTHON'
from headstart.components.preflight.checks import require
require(read_from=["demo:source"], write_to="/tmp/checkpoints", run_id="r")
PYTHON
        """,
    )
    assert "headstart, version" in said and "trained" in said
    assert "passed  software" in said and "passed  user: user 123456" in said and "passed  home: /tmp" in said
    assert "failed" not in said


def test_the_whole_demonstration_runs_in_containers(image: str, tmp_path: Path) -> None:
    """`headstart run --docker`: every task in a container, as a numeric user, with a read-only root."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "headstart"), "run", "--preset", "demo", "--runs", "2", "--docker", image,
         "--images-per-class", "60", "--set", "epochs=2", "--output", str(tmp_path / "out")],
        capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    # 3: measured, and found unsound, which so few epochs may well be; the report says so.
    assert done.returncode in (0, 3), done.stdout[-3000:] + done.stderr[-3000:]
    records = [json.loads(file.read_text()) for file in (tmp_path / "out/records").glob("*.json")]
    # Two preparations of two stages each, two runs of each arm, and the final model.
    assert len(records) == 2 * 2 + 2 * 2 + 1
    for record in records:
        assert record["status"] == "succeeded", record["reason"]
        assert record["environment"]["image"] == image
    assert (tmp_path / "out/report.html").stat().st_size > 10_000
