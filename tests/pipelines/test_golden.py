"""The compiled packages against committed goldens: a change of wiring or placement is seen, and named."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from headstart.pipelines.curve import curve
from headstart.pipelines.experiment import experiment
from headstart.pipelines.placement import Placement
from headstart.pipelines.retraining import retraining
from headstart.pipelines.tasks import DESCRIPTIONS

GOLDEN = Path(__file__).parent / "golden"

PACKAGES = {
    "experiment-cpu": lambda: experiment(Placement(image="registry.example/headstart:1.0")),
    "curve-cpu": lambda: curve(Placement(image="registry.example/headstart:1.0")),
    "experiment-gpu": lambda: experiment(Placement(image="registry.example/headstart:1.0", accelerators=1)),
}


def differences(golden: Any, compiled: Any, where: str = "") -> list[str]:
    """Name every place where two documents differ, with both values."""
    if isinstance(golden, dict) and isinstance(compiled, dict):
        found = []
        for key in sorted({*golden, *compiled}, key=str):
            place = f"{where}.{key}" if where else str(key)
            if key not in compiled:
                found.append(f"{place}: gone")
            elif key not in golden:
                found.append(f"{place}: new: {str(compiled[key])[:200]}")
            else:
                found += differences(golden[key], compiled[key], place)
        return found
    if isinstance(golden, list) and isinstance(compiled, list) and len(golden) == len(compiled):
        return [
            line
            for number, pair in enumerate(zip(golden, compiled, strict=True))
            for line in differences(*pair, f"{where}[{number}]")
        ]
    return [] if golden == compiled else [f"{where}: was {str(golden)[:300]!r}, is {str(compiled)[:300]!r}"]


def compiled_documents(name: str, folder: Path) -> list[Any]:
    file = folder / "package.yaml"
    compiler.Compiler().compile(PACKAGES[name](), str(file))
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", PACKAGES)
def test_package_equals_its_golden(name: str, tmp_path: Path) -> None:
    documents = compiled_documents(name, tmp_path)
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("HEADSTART_RENEW_GOLDEN"):
        file.write_text(yaml.safe_dump_all(documents, sort_keys=True, width=120), encoding="utf-8")
    golden = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    changed = differences({"documents": golden}, {"documents": documents})
    assert not changed, "the package changed (`make golden` renews it):\n  " + "\n  ".join(changed)


def test_differences_are_named() -> None:
    golden = {"a": {"cpu": 1.0, "old": 1}, "list": [1, 2]}
    compiled = {"a": {"cpu": 2.0, "new": 1}, "list": [1, 3]}
    assert differences(golden, compiled) == [
        "a.cpu: was '1.0', is '2.0'",
        "a.new: new: 1",
        "a.old: gone",
        "list[1]: was '2', is '3'",
    ]


@pytest.mark.parametrize("build", [experiment, curve, retraining], ids=lambda build: build.__name__)
def test_the_ui_shows_what_each_parameter_means(build: Any, tmp_path: Path) -> None:
    file = tmp_path / "package.yaml"
    compiler.Compiler().compile(build(), str(file))
    specification = next(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    assert specification["pipelineInfo"]["displayName"].startswith("Headstart: ")
    parameters = specification["root"]["inputDefinitions"]["parameters"]
    assert {name: value.get("description") for name, value in parameters.items()} == {
        name: DESCRIPTIONS[name] for name in parameters
    }
