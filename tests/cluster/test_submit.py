"""`headstart submit` against a server that plays Kubeflow Pipelines: every way in which a run can end."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import Result
from pipelines_api import API, RUN_ID, WORKFLOW, Node, PipelinesApi, detail, node_id, task_nodes, workflow
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from headstart.components.errors import HeadstartError, SettingError
from headstart.pipelines.packages import Package
from headstart.pipelines.submission import connection, runs
from headstart.pipelines.submission.answers import Health
from tests.json_results import read_result

Command = Callable[..., Result]
STORE = f"minio/mlpipeline/v2/artifacts/headstart-experiment/{RUN_ID}"
SALT = "0d7c6b5a-4f3e-4d2c-9b1a-0f9e8d7c6b5a"


def submit(command: Command, api: PipelinesApi, package: Package, *more: str) -> Result:
    return command("submit", str(package.path), "--host", api.server.host, *more)


def said(result: Result) -> str:
    message = result.exception.args[0] if isinstance(result.exception, HeadstartError) else ""
    return f"{result.output} {message}"


def test_success_brings_the_report_back(command: Command, api: PipelinesApi, package: Package) -> None:
    api.states = ["PENDING", "RUNNING", "SUCCEEDED"]
    api.workflow = workflow(task_nodes("report", ["html", "markdown", "summary", "metrics"]))
    api.objects = {
        f"{STORE}/report/{SALT}/html": b"<html>report</html>",
        f"{STORE}/report/{SALT}/markdown": b"# Report",
        f"{STORE}/report/{SALT}/summary/summary.json": b'{"sound": true}',
        f"{STORE}/report/{SALT}/summary/runs.csv": b"arm,seed\n",
    }
    result = submit(command, api, package, "--output", "back", "-p", "preset=fast", "-p", "seeds=[1, 2]", "--json")

    assert result.exit_code == 0, said(result)
    found = read_result("submit", result.stdout)
    assert (found["run_id"], found["state"], found["status"], found["output"]) == (RUN_ID, "SUCCEEDED", 0, "back")
    assert set(found["files"]) == {f"back/{name}" for name in ("report.html", "report.md", "summary.json", "runs.csv")}
    assert found["url"] == f"{api.server.host}/#/runs/details/{RUN_ID}" and found["url"] in result.stderr
    assert Path("back/report.html").read_bytes() == b"<html>report</html>"
    assert Path("back/report.md").read_text() == "# Report"
    assert json.loads(Path("back/summary.json").read_text()) == {"sound": True}
    assert Path("back/runs.csv").is_file()
    [sent] = api.runs
    assert sent["runtime_config"]["parameters"] == {"preset": "fast", "seeds": [1, 2]}
    assert sent["pipeline_spec"]["pipeline_spec"]["pipelineInfo"]["name"] == "headstart-experiment"
    assert "kubernetes" in sent["pipeline_spec"]["platform_spec"]["platforms"]


def test_failure_names_task_reason_hint_and_log(command: Command, api: PipelinesApi, package: Package) -> None:
    api.states = ["RUNNING", "FAILED"]
    nodes = task_nodes("import-dataset", ["dataset"], phase="Failed", message="OOMKilled (exit code 137)")
    api.workflow = workflow(nodes)
    pod = f"{WORKFLOW}-metadata-0-1-system-container-impl-{node_id(nodes[-1].name).rsplit('-', 1)[-1]}"
    api.logs = {pod: "\n".join(f"line {number}" for number in range(50))}
    result = submit(command, api, package)

    assert result.exit_code == 1
    assert "The run ended as FAILED" in result.output
    assert "Import the source set" in result.output  # the title for people, not the cluster's name
    assert "OOMKilled (exit code 137)" in result.output
    assert "raise --memory" in result.output
    assert "line 49" in result.output and "line 30" in result.output and "line 29" not in result.output


def test_failed_check_at_the_end_still_brings_the_report(command: Command, api: PipelinesApi, package: Package) -> None:
    api.states = ["FAILED"]
    verify = task_nodes("verify", [], phase="Failed", message="Error (exit code 1)")
    api.workflow = workflow([*task_nodes("report", ["html"]), *verify])
    api.objects = {f"{STORE}/report/{SALT}/html": b"unsound, and here is why"}
    result = submit(command, api, package, "--output", "back")
    assert result.exit_code == 1
    assert Path("back/report.html").read_bytes() == b"unsound, and here is why"
    assert "Verify the measurement" in result.output


def test_iteration_of_a_loop_is_named(command: Command, api: PipelinesApi, package: Package) -> None:
    api.states = ["FAILED"]
    loop = f"{WORKFLOW}.root.for-loop-2"
    iteration = f"{loop}.iteration-iterations(3:3)"
    inner = f"{iteration}.iteration-item"
    nodes = [
        Node(loop, "DAG", "comp-for-loop-2-for-loop-2-iterator", "Failed", f"{WORKFLOW}.root"),
        Node(iteration, "DAG", "comp-for-loop-2-iteration", "Failed", loop, parameters={"iteration-index": "3"}),
        Node(inner, "DAG", "comp-for-loop-2", "Failed", iteration),
        *task_nodes("train-runs", ["records"], inner, "Failed", "pod deleted", retried=True),
    ]
    api.workflow = workflow(nodes)
    result = submit(command, api, package)
    assert "Run every arm, iteration 4 failed" in result.output
    assert result.output.count("iteration 4 failed") == 1  # the first attempt was tried again and does not count
    assert "the node was taken away" in result.output


def test_retried_task_that_came_through_is_no_failure(api: PipelinesApi) -> None:
    from headstart.pipelines.submission.workflow import Workflow

    through = Workflow(workflow(task_nodes("pretrain", ["model"], retried=True)))
    assert through.failed_pods() == []
    assert [artifact.name for artifact in through.artifacts()] == ["model"]


def test_compressed_nodes_are_read() -> None:
    import base64
    import gzip

    from headstart.pipelines.submission.workflow import Workflow

    plain = workflow(task_nodes("pretrain", ["model"], phase="Failed", message="Error (exit code 2)"))
    nodes = plain["status"].pop("nodes")
    plain["status"]["compressedNodes"] = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    assert [pod.task for pod in Workflow(plain).failed_pods()] == ["pretrain"]
    plain["status"]["compressedNodes"] = "no base64 of anything"
    assert Workflow(plain).nodes == {}


def test_cancel_is_final(command: Command, api: PipelinesApi, package: Package) -> None:
    api.states = ["RUNNING", "CANCELING", "CANCELED"]
    result = submit(command, api, package)
    assert result.exit_code == 3
    assert "canceled" in result.output


def test_a_certificate_authority_that_is_named_wins_over_the_environments(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    verified: list[object] = []

    class Noting(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
            verified.append(given["verify"])
            answer = requests.Response()
            answer.status_code, answer.request = 200, request
            answer.raw = HTTPResponse(io.BytesIO(b"{}"), preload_content=False)
            return answer

    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(tmp_path / "another.pem"))
    for authority, expected in ((str(tmp_path / "ours.pem"), str(tmp_path / "ours.pem")), (False, False)):
        asked = connection.Connection("https://kubeflow.example", verify=authority)
        asked.session.mount("https://", Noting())
        asked.get("/apis/v2beta1/healthz", Health)
        assert verified.pop() == expected


def test_a_certificate_authority_that_is_not_there_is_named_before_anything_is_sent(
    command: Command, api: PipelinesApi, package: Package, tmp_path: Path
) -> None:
    result = submit(command, api, package, "--certificate-authority", str(tmp_path / "none.pem"))
    assert result.exit_code == 2
    assert "--certificate-authority" in said(result) and "none.pem: there is no such file" in said(result)
    assert not api.server.requests("GET", "/healthz")


def test_skipped_run_is_no_success(command: Command, api: PipelinesApi, package: Package) -> None:
    api.states = ["SKIPPED"]
    assert submit(command, api, package).exit_code == 1


def test_waiting_ends_with_the_timeout_and_the_run_goes_on(
    command: Command, api: PipelinesApi, package: Package
) -> None:
    api.states = ["RUNNING"]
    result = submit(command, api, package, "--timeout", "0.002")
    assert result.exit_code == 4
    assert f"--attach {RUN_ID}" in said(result)
    assert not api.terminated


def test_no_wait_submits_and_returns(command: Command, api: PipelinesApi, package: Package) -> None:
    result = submit(command, api, package, "--no-wait")
    assert result.exit_code == 0 and RUN_ID in result.output
    assert not api.server.requests("GET", f"/runs/{RUN_ID}")


def test_attach_follows_without_submitting(command: Command, api: PipelinesApi) -> None:
    api.states = ["RUNNING", "SUCCEEDED"]
    # An option with the value that it has anyway is no reason to refuse.
    words = ("--host", api.server.host, "--experiment", "headstart")
    assert command("submit", "--attach", RUN_ID, *words).exit_code == 0
    assert not api.runs


@pytest.mark.parametrize(
    "option",
    [("--parallelism", "2"), ("--accelerators", "1"), ("-p", "preset=fast"), ("--name", "mine"),
     ("--pipeline-root", "gs://bucket"), ("--no-wait",)],
)  # fmt: skip
def test_attach_refuses_what_only_a_pipeline_takes(
    command: Command, api: PipelinesApi, option: tuple[str, ...]
) -> None:
    result = command("submit", "--attach", RUN_ID, "--host", api.server.host, *option)
    assert result.exit_code == 2 and f"{option[0]}: cannot go with --attach" in said(result)
    assert not api.server.requests("GET", "")


@pytest.mark.parametrize("option", [("experiment", "-o", "here"), ("experiment", "--timeout", "9")])
def test_a_run_that_is_not_followed_takes_no_option_of_following(
    command: Command, api: PipelinesApi, option: tuple[str, ...]
) -> None:
    result = command("submit", *option, "--no-wait", "--host", api.server.host)
    assert result.exit_code == 2 and "cannot go with --no-wait" in said(result)
    assert not api.runs


def test_connection_that_comes_back_is_survived(command: Command, api: PipelinesApi, package: Package) -> None:
    api.states = ["RUNNING", *["drop"] * 9, 503, 502, "RUNNING", "SUCCEEDED"]
    result = submit(command, api, package)
    assert result.exit_code == 0, said(result)
    assert "does not answer" in result.output and "answers again" in result.output


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_api_that_is_away_behind_its_ui_is_waited_for(
    command: Command, api: PipelinesApi, package: Package, status: int
) -> None:
    """The UI's server answers 504 for minutes while the API's pod is replaced, as seen on a real cluster."""
    api.states = ["RUNNING", *[status] * 30, "RUNNING", "SUCCEEDED"]
    result = submit(command, api, package)
    assert result.exit_code == 0, said(result)
    assert f"HTTP {status}" in result.output and "answers again" in result.output


def test_connection_that_stays_away_ends_with_its_own_status(
    command: Command, api: PipelinesApi, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.pipelines.submission.following.PATIENCE_SECONDS", 0.05)
    api.states = ["RUNNING", "drop"]
    result = submit(command, api, package)
    assert result.exit_code == 5
    assert f"--attach {RUN_ID}" in said(result)


def test_lost_answer_to_create_does_not_submit_twice(command: Command, api: PipelinesApi, package: Package) -> None:
    api.drop_answer_to_create = True
    assert submit(command, api, package).exit_code == 0
    assert len(api.runs) == 1


def test_expired_token_says_so_and_leaves_the_run(
    command: Command, api: PipelinesApi, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.token = "fresh"
    api.states = ["RUNNING"]
    ask = api.handle

    def expire(asked):  # type: ignore[no-untyped-def]
        if asked.path.endswith(RUN_ID):
            api.token = "another by now"
        return ask(asked)

    with type(api.server)(expire) as server:
        result = command("submit", str(package.path), "--host", server.host, "--token", "fresh")
    assert result.exit_code == 5
    assert "HTTP 401" in said(result) and "goes on without us" in said(result)


def test_token_renewed_on_disk_is_taken_up(
    command: Command, api: PipelinesApi, package: Package, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    monkeypatch.setenv(connection.TOKEN_FILE_VARIABLE, str(file))
    api.token = "first"
    api.states = ["RUNNING", "RUNNING", "SUCCEEDED"]
    looks = 0

    def rotate(asked):  # type: ignore[no-untyped-def]
        nonlocal looks
        if asked.path == f"{API}/runs/{RUN_ID}":
            looks += 1
            if looks == 2:  # the server changes its mind in the middle of a request; the file follows at once
                api.token = "second"
                file.write_text("second\n")
        return api.handle(asked)

    with type(api.server)(rotate) as server:
        result = command("submit", str(package.path), "--host", server.host)
    assert result.exit_code == 0, said(result)


def test_missing_token_submits_nothing(command: Command, api: PipelinesApi, package: Package) -> None:
    api.token = "secret"
    result = submit(command, api, package)
    assert result.exit_code == 1 and "HTTP 401" in said(result) and "Nothing was submitted" in said(result)
    assert not api.runs


@pytest.mark.parametrize("version", ["2.5.0", "2.13.1", "1.8.22"])
def test_old_server_is_refused_before_anything_is_submitted(
    command: Command, api: PipelinesApi, package: Package, version: str
) -> None:
    api.version = version
    result = submit(command, api, package)
    assert result.exit_code == 1
    assert version in said(result) and "2.14" in said(result)
    assert not api.runs and not api.experiments


@pytest.mark.parametrize("version", ["2.14.0", "2.17.0", "v3.0.0", "unknown", ""])
def test_new_and_unknown_servers_are_taken(command: Command, api: PipelinesApi, package: Package, version: str) -> None:
    api.version = version
    assert submit(command, api, package).exit_code == 0


def test_login_page_is_told_from_an_api(command: Command, package: Package) -> None:
    from answering import Answer, AnsweringServer

    login = {"Location": "https://kubeflow.example/dex/auth?client_id=kubeflow"}
    with AnsweringServer(lambda _: Answer("<html>Found</html>", 302, login)) as server:
        result = command("submit", str(package.path), "--host", server.host)
    assert result.exit_code == 1 and "wants a login" in said(result)
    with AnsweringServer(lambda _: Answer("<html>Welcome</html>", 200, {"Content-Type": "text/html"})) as server:
        result = command("submit", str(package.path), "--host", server.host)
    assert result.exit_code == 1 and "not the API of Kubeflow Pipelines" in said(result)


def test_parameters_are_typed_by_the_package(command: Command, api: PipelinesApi, package: Package) -> None:
    result = submit(
        command, api, package, "--no-wait",
        "-p", "image_size=64", "-p", 'settings={"epochs": 3}', "-p", "preset=fast",
    )  # fmt: skip
    assert result.exit_code == 0, said(result)
    [sent] = api.runs
    assert sent["runtime_config"]["parameters"] == {
        "image_size": 64, "settings": {"epochs": 3}, "preset": "fast",
    }  # fmt: skip


def test_a_set_that_is_left_out_is_no_path(command: Command, api: PipelinesApi, package: Package) -> None:
    sets = {"source_data": "none", "intermediate_data": "none", "target_data": "gs://b/photos", "prepared": "gs://b/m"}
    pairs = [word for name, value in sets.items() for word in ("-p", f"{name}={value}")]
    result = submit(command, api, package, "--no-wait", *pairs)
    assert result.exit_code == 0, said(result)
    assert api.runs[0]["runtime_config"]["parameters"] == sets


@pytest.mark.parametrize("text", ["2024", "1.10", "true", "null", ""])
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    """Unlike with `kfp run create`."""
    assert runs._typed("name", text, "STRING") == text


@pytest.mark.parametrize(
    ("pair", "word"),
    [
        ("image_size=big", "not a whole number"),
        ("image_size=1.5", "not a whole number"),
        ("seeds=5", "not a list"),
        ("seeds=[NaN]", "not a list"),
        ("settings=[]", "not names with values in JSON"),
        ("classes={'a': 'b'}", "double quotes around names and texts"),
        ("settings=" + "[" * 100_000, "not names with values"),
        ("source_data=/home/me/photos", "the pods of a cluster do not see"),
        ("target_data=./photos", "the pods of a cluster do not see"),
        ("source_data=file:///home/me/photos", "the pods of a cluster do not see"),
        ("intermediate_data=auto", "the pods of a cluster do not see"),
        ("checkpoints=/mnt/headstart/ckpt", "Compile with --volume-claim"),
        ("checkpoints=/mnt/headstart/../../x", "do not see"),
        ("sees=[1]", "has no parameter 'sees'"),
        ("seeds", "expected NAME=VALUE"),
    ],
)
def test_wrong_parameter_submits_nothing(
    command: Command, api: PipelinesApi, package: Package, pair: str, word: str
) -> None:
    result = submit(command, api, package, "-p", pair)
    assert isinstance(result.exception, SettingError) and result.exit_code == 2
    assert word in said(result)
    assert not api.server.asked


def test_package_is_compiled_on_the_way(command: Command, api: PipelinesApi) -> None:
    options = (
        "--image",
        "registry.example/headstart:9",
        "--accelerators",
        "2",
        "--no-wait",
        "--service-account",
        "gpu",
    )
    assert command("submit", "experiment", "--host", api.server.host, *options).exit_code == 0
    [sent] = api.runs
    executors = sent["pipeline_spec"]["pipeline_spec"]["deploymentSpec"]["executors"]
    assert executors["exec-pretrain"]["container"]["resources"]["accelerator"]["resourceCount"] == "2"
    assert sent["service_account"] == "gpu"


def test_placement_of_a_compiled_package_cannot_change(command: Command, api: PipelinesApi, package: Package) -> None:
    result = submit(command, api, package, "--accelerators", "1")
    assert result.exit_code == 2 and "compiled already" in said(result)


def test_what_cannot_be_brought_back_is_said(command: Command, api: PipelinesApi, package: Package) -> None:
    api.workflow = workflow(task_nodes("report", ["html"]))
    result = submit(command, api, package)
    assert result.exit_code == 0
    assert "Not brought back" in result.output and "ml-pipeline-ui" in result.output


def test_several_users_get_their_namespace(command: Command, api: PipelinesApi, package: Package) -> None:
    api.multi_user = True
    submit(command, api, package, "--no-wait", "--namespace", "team-a")
    assert api.server.requests("POST", "/experiments")[0].body["namespace"] == "team-a"


def test_tasks_are_shown_in_words_and_loops_as_one(command: Command, api: PipelinesApi, package: Package) -> None:
    inner = [detail("train-runs", state) for state in ("SUCCEEDED", "SUCCEEDED", "RUNNING")]
    noise = [detail(name, "RUNNING") for name in ("root", "root-driver", "executor", "for-loop-1", "iteration-item")]
    api.tasks = {"RUNNING": [detail("pretrain", "SUCCEEDED", end="2026-11-24T10:01:00Z"), *inner, *noise]}
    api.states = ["RUNNING", "SUCCEEDED"]
    lines = submit(command, api, package).output.splitlines()
    assert any("SUCCEEDED" in line and "Pretrain on the source set" in line for line in lines)
    assert any("RUNNING" in line and "Run every arm  2 of 3" in line for line in lines)
    assert not any("driver" in line or "for-loop" in line or "iteration" in line for line in lines)
