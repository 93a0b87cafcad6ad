"""A Keras file can carry code: it is loaded in safe mode, and only where its digest is the one written beside it."""

import hashlib
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

# In a process of its own: it makes a model whose Lambda layer would leave a mark, and loads it both ways.
PROGRAM = textwrap.dedent(
    """
    import hashlib, json, pathlib, sys
    import keras
    from headstart.components.errors import HeadstartError
    from headstart.components.training.export import load_model
    from headstart.components.training.freezing import weights_digest

    folder, mark = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])

    def describe(folder, weights=""):
        content = (folder / "model.keras").read_bytes()
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "weights": weights, "classes": ["a"], "image_size": 4}
        (folder / "model.json").write_text(json.dumps(facts))

    def refusal(folder):
        try:
            load_model(folder)
        except HeadstartError as error:
            return str(error)
        return ""

    hostile = folder / "hostile"
    hostile.mkdir()
    code = f"(lambda x: (__import__('pathlib').Path({str(mark)!r}).write_text('ran'), x)[1])"
    layers = [keras.layers.Input((4,)), keras.layers.Lambda(eval(code))]
    keras.Sequential(layers).save(hostile / "model.keras")
    mark.unlink(missing_ok=True)
    describe(hostile)
    answers = {"hostile": refusal(hostile), "ran": mark.exists()}

    good = folder / "good"
    good.mkdir()
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    model.save(good / "model.keras")
    describe(good, weights_digest(model))
    answers["good"] = refusal(good)
    content = bytearray((good / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (good / "model.keras").write_bytes(bytes(content))
    answers["altered"] = refusal(good)
    describe(good, weights_digest(model))
    answers["damaged"] = refusal(good)
    for name, text in (("list", "[]"), ("nothing", ""), ("no digest", "{}")):
        (good / "model.json").write_text(text)
        answers[name] = refusal(good)
    print(json.dumps(answers))
    """
)


@pytest.mark.slow
def test_models_from_outside(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(tmp_path / "mark")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.strip().splitlines()[-1])
    assert not answers["ran"], "code of a model file ran"
    assert "cannot be loaded" in answers["hostile"]
    assert "Lambda" in answers["hostile"]
    assert answers["good"] == ""
    assert "SHA-256" in answers["altered"]
    assert answers["damaged"] == "" or "cannot be loaded" in answers["damaged"] or "weights'" in answers["damaged"]
    assert "holds no model" in answers["list"]
    assert "holds no model" in answers["nothing"]
    assert "SHA-256" in answers["no digest"]


def test_keras_is_one_that_mends_the_known_holes_of_its_loader() -> None:
    from importlib.metadata import version

    assert tuple(map(int, version("keras").split(".")[:2])) >= (3, 15)


def test_every_locked_dependency_has_a_hash() -> None:
    root = Path(__file__).parents[2]
    for lock in sorted((root / "requirements").glob("*.txt")):
        text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
        pinned = [line for line in text.splitlines() if line and not line.lstrip().startswith(("#", "--"))]
        assert pinned, lock
        for line in pinned:
            assert "==" in line, (lock.name, line)
            assert "--hash=sha256:" in line, (lock.name, line.split()[0])
            assert len(line.split("--hash=sha256:")[1].split()[0]) == hashlib.sha256().digest_size * 2
    installed = [line for line in (root / "Makefile").read_text().splitlines() if "pip install" in line]
    assert sum("--require-hashes" in line for line in installed) == len(installed) - 1
    # With its dependencies resolved, a lock stops installing on the day that a newer release of one of them appears.
    assert all("--no-deps" in line for line in installed)
