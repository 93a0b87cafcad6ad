"""The Dockerfile and the scripts around it, as far as they can be judged without an engine."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from headstart.pipelines.placement import DEFAULT_IMAGE, IMAGE_USER

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")


def test_base_is_pinned_by_digest_through_an_argument() -> None:
    [base] = re.findall(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE, re.M)
    assert re.fullmatch(r"python:3\.11-[a-z-]+@sha256:[0-9a-f]{64}", base)
    for source in re.findall(r"^FROM (\S+)", DOCKERFILE, re.M):
        assert source == "${BASE_IMAGE}" or re.search(rf"^FROM \S+ AS {source}$", DOCKERFILE, re.M), source


def test_user_is_the_number_that_placements_name() -> None:
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.M) == [f"{IMAGE_USER}:0"]


def test_version_is_the_same_everywhere_and_never_latest() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"headstart:{version}" == DEFAULT_IMAGE
    assert set(re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.M)) == {version}
    for file in (*ROOT.glob("docker/*"), *ROOT.glob("manifests/**/*.yaml"), ROOT / "Makefile"):
        assert not re.search(r"headstart\S*:latest", file.read_text(encoding="utf-8")) or file.name == "build.sh", file


def test_dependencies_are_locked_with_hashes() -> None:
    for script in ("install-dependencies.sh", "install-build-tool.sh"):
        for line in re.findall(r"-m pip install [^\n]*", (ROOT / "docker" / script).read_text()):
            assert "--require-hashes" in line
            assert "--no-deps" in line
    for lock in ("cpu.txt", "gpu.txt"):
        text = (ROOT / "requirements" / lock).read_text()
        packages = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.M)
        assert len(packages) > 50
        for block in re.split(r"\n(?=[a-z0-9])", text):
            if "==" in block.split("\n")[0]:
                assert "--hash=sha256:" in block, block.split("\n")[0]


@pytest.mark.parametrize(("tag", "word"), [("headstart:latest", "latest"), ("headstart", "no tag")])
def test_images_without_a_version_are_not_built(tag: str, word: str) -> None:
    done = subprocess.run(
        ["sh", "docker/build.sh", "cpu", tag], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2 and word in done.stderr


def test_scripts_have_no_slip_of_syntax() -> None:
    for script in (*ROOT.glob("docker/*.sh"), *ROOT.glob("manifests/kind/*.sh")):
        done = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
