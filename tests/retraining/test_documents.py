"""Every `headstart` command in the documentation, the examples and the manifests is one that the program takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from headstart.pipelines.cli import headstart
from headstart.pipelines.cron import parse_cron

ROOT = Path(__file__).parents[2]
RETRAINING = ROOT / "manifests" / "retraining"


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


def container(path: Path) -> dict[str, Any]:
    workload = documents(path)[-1]
    job = workload["spec"]["jobTemplate"] if workload["kind"] == "CronJob" else workload
    (found,) = job["spec"]["template"]["spec"]["containers"]
    return dict(found)


def literals() -> dict[str, str]:
    (generator,) = documents(RETRAINING / "kustomization.yaml")[0]["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generator["literals"])


def commands() -> Iterator[tuple[str, list[str]]]:
    text = (ROOT / "docs" / "retraining.md").read_text()
    for block in re.findall(r"```\n(.*?)```", text, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("headstart "):
                yield "docs/retraining.md", shlex.split(line.split("    ")[0] if "  >" in line else line)
    for name in ("headstart-retrain.service", "headstart-retrain.cron"):
        (line,) = re.findall(r"/bin/(headstart retrain .*)", (ROOT / "docs" / "examples" / name).read_text())
        yield name, shlex.split(line)
    values = literals()
    for name in ("schedule.yaml", "cronjob.yaml"):
        yield (
            name,
            [
                re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], part)
                for part in container(RETRAINING / name)["command"]
            ],
        )


def parsed(words: list[str]) -> click.Context:
    """Parse as click would, without running anything; UsageError for what it would refuse."""
    context = headstart.make_context("headstart", words[1:])
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, [*context.protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, list(rest), parent=context)
    return context


@pytest.mark.parametrize(("where", "words"), [pytest.param(w, c, id=f"{w}:{' '.join(c[1:4])}") for w, c in commands()])
def test_the_command_parses(where: str, words: list[str]) -> None:
    described = {"show": 3, "list": 3, "rollback": 3, "pin": 3, "history": 3, "approve": 3, "reject": 3, "verify": 3}
    if where == "docs/retraining.md" and words[1] == "models" and words[2] in described:
        # A description follows the command on its line; VERSION is a number.
        end = words.index("models", 3) + 1
        words = [re.sub(r"\[?VERSION\]?", "3", word) for word in words[:end]]
    assert parsed(words).params


def test_the_declared_schedule_is_a_valid_one() -> None:
    values = literals()
    assert len(parse_cron(values["CRON"].split(" #")[0]).fields) == 6
    assert {"CRON", "TIMEZONE", "IMAGE", "DATA", "STORE", "PREPARED"} == set(values)
    assert set(re.findall(r"\$\((\w+)\)", " ".join(container(RETRAINING / "schedule.yaml")["command"]))) == set(values)


@pytest.mark.parametrize("name", ["schedule.yaml", "cronjob.yaml"])
def test_the_pods_run_under_the_restricted_standard(name: str) -> None:
    workload = documents(RETRAINING / name)[-1]
    job = workload["spec"]["jobTemplate"] if workload["kind"] == "CronJob" else workload
    pod = job["spec"]["template"]["spec"]
    assert (
        pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    )
    rights = container(RETRAINING / name)["securityContext"]
    assert rights["allowPrivilegeEscalation"] is False and rights["capabilities"]["drop"] == ["ALL"]
    token = next(volume for volume in pod["volumes"] if volume["name"] == "pipelines-token")
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "pipelines.kubeflow.org"


def test_the_service_points_at_a_folder_of_the_stores_layout() -> None:
    (service,) = documents(ROOT / "manifests" / "serving" / "inferenceservice.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    model = service["spec"]["predictor"]["model"]
    assert model["modelFormat"]["name"] == "tensorflow"
    assert re.fullmatch(r"gs://[^/]+/.+/versions/\d+/serving", model["storageUri"])


def test_every_rule_is_documented_with_its_default() -> None:
    from headstart.components.promotion.gate import Rules

    text = (ROOT / "docs" / "retraining.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, re.M))
    assert documented == {
        name: f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        for name, field in Rules.model_fields.items()
    }
