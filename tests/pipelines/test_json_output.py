"""`--json`: one document on standard output, in the form of a committed schema or of the class that it prints."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import jsonschema
import numpy as np
import pytest
from PIL import Image

from headstart.pipelines.cli import headstart as whole
from headstart.pipelines.json_output import result_types
from tests.json_results import FILE, made, read_result

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests/reporting/old"


def headstart(*arguments: str | Path, status: int = 0, of: str = "") -> object:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == status, done.stderr
    return read_result(of, done.stdout) if of else json.loads(done.stdout)


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
    imported = headstart("data", "folder", photographs, "--output", tmp_path / "packed", "--json", of="data folder")
    assert isinstance(imported, dict)
    assert imported["classes"] == ["one", "two"]
    assert headstart("data", "show", tmp_path / "packed", "--json", "--verify", of="data show") == imported
    chosen = headstart("data", "select", tmp_path / "packed", "-o", tmp_path / "few", "-c", "a=one", "-c", "b=two",
                       "--images-per-class", "4", "--json", of="data select")  # fmt: skip
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
    report = tmp_path / "report"
    assert isinstance(headstart("compare", report, report, "--anyway", "--json", of="compare"), dict)
    assert next(iter(found.values())) == json.loads((tmp_path / "report/summary.json").read_text(encoding="utf-8"))


def test_history_of_an_empty_store(tmp_path: Path) -> None:
    assert headstart("models", "history", "--store", tmp_path / "store", "--json", of="models history") == []


def leaves(command: click.Command, name: str = "headstart") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for inner in command.list_commands(context):
        found = command.get_command(context, inner)
        assert found is not None
        yield from leaves(found, f"{name} {inner}")


@pytest.mark.parametrize(("name", "command"), leaves(whole), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_prints_json(name: str, command: click.Command) -> None:
    (option,) = [one for one in command.params if "--json" in one.opts]
    assert isinstance(option, click.Option) and option.is_flag
    assert option.help == "Print the result as JSON."
    words = name.removeprefix("headstart ")
    assert words in result_types() or words in ("run", "curve", "report")


def test_the_committed_schemas_are_those_of_the_results() -> None:
    text = made()
    if os.environ.get("HEADSTART_RENEW_GOLDEN"):
        FILE.write_text(text, encoding="utf-8")
    assert FILE.read_text(encoding="utf-8") == text, "HEADSTART_RENEW_GOLDEN=1 renews it"


def test_compile(tmp_path: Path) -> None:
    words = ("--output", tmp_path / "p.yaml", "--manifest", tmp_path / "m.yaml", "--image", "registry/i:1", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "compile", "retraining", *map(str, words)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = read_result("compile", done.stdout)
    assert (found["package"], found["manifest"]) == (str(tmp_path / "p.yaml"), str(tmp_path / "m.yaml"))
    assert found["bytes"] == (tmp_path / "p.yaml").stat().st_size and found["images"] == ["registry/i:1"]
    assert f"name: {found['version']}" in (tmp_path / "m.yaml").read_text()


def test_a_schedule_explained(tmp_path: Path) -> None:
    words = ["schedule", "retraining", "--cron", "30 2 * * 1", "--dry-run", "-p", "store=gs://a/b", "-p", "data=gs://c"]
    done = subprocess.run(
        [sys.executable, "-m", "headstart", *words, "--json"], capture_output=True, text=True, check=True
    )
    found = read_result("schedule", done.stdout)
    assert (found["action"], found["when"], len(found["next_times"])) == ("explained", "0 30 2 * * 1", 5)
    assert "only on Monday" in done.stderr
