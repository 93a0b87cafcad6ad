"""The image: no file that changes the user, none that everyone may write, nothing of the build left in it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

IMAGE = os.environ.get("HEADSTART_TEST_IMAGE", "")

# Runs in the image with its own Python; /tmp is where everyone may write, and keeps others' files from being removed.
SCAN = Path(__file__).with_name("scan_image.py")


def test_the_scan_finds_what_it_looks_for(tmp_path: Path) -> None:
    (tmp_path / "setuid").write_text("")
    (tmp_path / "setuid").chmod(0o4755)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "file").write_text("")
    (tmp_path / "file").chmod(0o666)
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "good").write_text("")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    done = subprocess.run(["python3", str(SCAN), str(tmp_path)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["changes user or group"] == [str(tmp_path / "setuid")]
    assert found["everyone may write"] == sorted(map(str, (tmp_path / "file", tmp_path / "open")))
    assert found["private key"] == [str(tmp_path / "key.pem")]


@pytest.mark.docker
@pytest.mark.skipif(not IMAGE, reason="HEADSTART_TEST_IMAGE names no image")
def test_image() -> None:
    command = ["docker", "run", "--rm", "--network=none", "--read-only", "--user=0", "--cap-add=DAC_READ_SEARCH", "-i"]
    done = subprocess.run(
        [*command, "--entrypoint=python3", IMAGE, "-", "/"],
        check=False, capture_output=True, text=True, input=SCAN.read_text(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["looked at"] > 1000
    assert found["changes user or group"] == []
    assert found["everyone may write"] == []
    assert found["private key"] == []
    inspected = subprocess.run(
        ["docker", "image", "inspect", IMAGE], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    config = json.loads(inspected)[0]["Config"]
    assert config["User"].split(":")[0] not in ("", "0", "root")
    told = json.dumps([config.get("Env"), config.get("Labels")]).lower()
    assert not [word for word in ("password", "token", "secret", "index_url", "https://user") if word in told]
