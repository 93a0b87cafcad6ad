"""The plain `kfp` command and kfp's client against the same server: our package needs nothing of ours to run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines_api import RUN_ID, PipelinesApi, detail

from headstart.pipelines.packages import Package


def kfp(api: PipelinesApi, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KF_")}
    return subprocess.run(
        [str(Path(sys.executable).parent / "kfp"), "--endpoint", api.server.host, *arguments],
        capture_output=True, text=True, timeout=120, env={**environment, "HOME": str(Path.cwd())}, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("verb", ["create", "submit"])
def test_package_is_accepted_with_typed_arguments(verb: str, api: PipelinesApi, package: Package) -> None:
    arguments = ("preset=fast", "seeds=[1, 2]", "image_size=64", 'settings={"epochs": 3}')
    done = kfp(api, "run", verb, "-e", "headstart", "-f", str(package.path), *arguments)
    assert done.returncode == 0, done.stderr
    [sent] = api.runs
    assert sent["runtime_config"]["parameters"] == {
        "preset": "fast", "seeds": [1, 2], "image_size": 64, "settings": {"epochs": 3},
    }  # fmt: skip
    assert RUN_ID in done.stdout


def test_both_ways_send_the_same_pipeline(api: PipelinesApi, package: Package, command) -> None:  # type: ignore[no-untyped-def]
    kfp(api, "run", "create", "-e", "headstart", "-f", str(package.path), "preset=fast")
    command("submit", str(package.path), "--host", api.server.host, "--no-wait", "-p", "preset=fast")
    plain, ours = api.runs
    assert ours["pipeline_spec"] == plain["pipeline_spec"]
    assert ours["runtime_config"]["parameters"] == plain["runtime_config"]["parameters"]
    assert ours["experiment_id"] == plain["experiment_id"]


def test_answers_are_what_the_client_reads(api: PipelinesApi) -> None:
    """The server's answers fill kfp's own models, field by field: they have the API's shape."""
    import kfp

    api.states = ["FAILED"]
    api.error = "child 'pretrain' failed"
    api.tasks = {"FAILED": [detail("pretrain", "FAILED", end="2026-11-24T10:01:00Z")]}
    with pytest.warns(FutureWarning):
        client = kfp.Client(host=api.server.host, namespace="kubeflow")
    run = client.get_run(RUN_ID)
    assert (run.state, run.run_id) == ("FAILED", RUN_ID)
    assert run.run_details.task_details[0].display_name == "pretrain"
    assert run.state_history[-1].error.message == "child 'pretrain' failed"
    assert client.get_kfp_healthz().multi_user is False
    raw = json.loads(json.dumps(api._description("FAILED")))
    assert set(raw) <= set(type(run).attribute_map.values())
    assert set(raw["run_details"]["task_details"][0]) <= set(
        type(run.run_details.task_details[0]).attribute_map.values()
    )
