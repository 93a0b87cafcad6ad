"""What Kubeflow Pipelines 2.17 on Kubernetes 1.34 answered behind its UI, where earlier played answers were other."""

from pathlib import Path

from pipelines_api import WORKFLOW, PipelinesApi, detail, node_id, task_nodes, workflow
from test_submit import SALT, STORE, Command, said, submit

from headstart.pipelines.packages import Package
from headstart.pipelines.submission import connection
from headstart.pipelines.submission.following import summarise_tasks
from headstart.pipelines.submission.runs import ask_server


def test_a_real_cluster_behind_its_ui(command: Command, api: PipelinesApi, package: Package) -> None:
    """What Kubeflow Pipelines 2.17 on Kubernetes 1.34 answered: attempts in names, the UI's health, logs by the UI."""
    api.behind_ui, api.states = True, ["FAILED"]
    verify = task_nodes("verify", [], phase="Failed", message="main: Error (exit code 1)", attempt="(0)")
    api.workflow = workflow([*task_nodes("report", ["html", "markdown"], attempt="(0)"), *verify])
    api.objects = {f"{STORE}/report/{SALT}/html": b"<html>", f"{STORE}/report/{SALT}/markdown": b"# Report"}
    pod = f"{WORKFLOW}-metadata-0-1-system-container-impl-{node_id(verify[-1].name).rsplit('-', 1)[-1]}"
    api.logs = {pod: "HeadstartError: The measurement is not sound."}
    result = submit(command, api, package, "--output", "back")
    assert result.exit_code == 1
    assert Path("back/report.html").read_bytes() == b"<html>"
    assert Path("back/report.md").read_bytes() == b"# Report"
    assert "Verify the measurement failed" in result.output
    assert "The measurement is not sound." in result.output
    server = ask_server(connection.connect(api.server.host))
    assert (server.version, server.multi_user) == (api.version, False)


def test_a_run_that_somebody_ended_is_canceled_though_the_server_calls_it_failed(
    command: Command, api: PipelinesApi, package: Package
) -> None:
    api.states = ["RUNNING", "FAILED"]
    assert submit(command, api, package).exit_code == 1
    api.states, api.terminated = ["RUNNING", "CANCELING", "FAILED"], True
    result = submit(command, api, package)
    assert result.exit_code == 3
    assert "The run was canceled." in result.output


def test_a_ui_whose_api_is_away_is_no_server(command: Command, api: PipelinesApi, package: Package) -> None:
    api.behind_ui, api.ready = True, False
    result = submit(command, api, package)
    assert result.exit_code == 1, said(result)
    assert "the API behind it does not" in said(result)
    assert not api.runs


def test_a_run_that_is_joined_without_its_package_shows_tasks_alone() -> None:
    shown = detail("report", "SUCCEEDED") | {"child_tasks": [{"pod_name": f"{WORKFLOW}-2864921019"}]}
    inner = [
        WORKFLOW,
        f"{WORKFLOW}(0)",
        "root",
        "root(0)",
        "report-driver",
        "report-driver(0)",
        "report(0)",
        "executor",
    ]
    run = {"run_details": {"task_details": [*(detail(name, "SUCCEEDED") for name in inner), shown]}}
    assert [(task.title, task.total) for task in summarise_tasks(run, None)] == [("report", 1)]
