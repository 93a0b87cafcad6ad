"""`--json`: one document on standard output, in the form of a committed schema or of the class that it prints."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests/reporting/old"


def headstart(*arguments: str | Path, status: int = 0) -> object:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(7)
    for name in ("one", "two"):
        (folder / name).mkdir()
        for number in range(12):
            pixels = random.integers(0, 255, (20, 20, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def test_data(photographs: Path, tmp_path: Path) -> None:
    imported = headstart("data", "folder", photographs, "--output", tmp_path / "packed", "--json")
    assert isinstance(imported, dict)
    assert imported["classes"] == ["one", "two"]
    assert headstart("data", "show", tmp_path / "packed", "--json", "--verify") == imported
    chosen = headstart("data", "select", tmp_path / "packed", "-o", tmp_path / "few", "-c", "a=one", "-c", "b=two",
                       "--images-per-class", "4", "--json")  # fmt: skip
    assert isinstance(chosen, dict)
    assert chosen["classes"] == ["a", "b"]


def test_report_and_compare(tmp_path: Path) -> None:
    records = next(path for path in sorted(OLD.rglob("*.json")) if '"arm"' in path.read_text()).parent
    shutil.copytree(records, tmp_path / "records")
    for other in (tmp_path / "records").glob("summary*.json"):
        other.unlink()
    found = headstart("report", tmp_path / "records", "-o", tmp_path / "report", "--json")
    assert isinstance(found, dict)
    schema = json.loads((ROOT / "components/summary.schema.json").read_text(encoding="utf-8"))
    for summary in found.values():
        jsonschema.Draft202012Validator(schema).validate(summary)
    assert next(iter(found.values())) == json.loads((tmp_path / "report/summary.json").read_text(encoding="utf-8"))


def test_history_of_an_empty_store(tmp_path: Path) -> None:
    assert headstart("models", "history", "--store", tmp_path / "store", "--json") == []
