"""`headstart schedule` against a server that plays the API's recurring runs."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from schedules_api import PATH, SchedulesApi

from headstart.pipelines.packages import Package

Command = Callable[..., Result]
NEEDED = ("-p", "store=gs://models/fruits", "-p", "data=gs://data/fruits.tar.gz")


@pytest.fixture
def put(api: SchedulesApi, command: Command, package: Package) -> Command:
    def run(*arguments: str) -> Result:
        return command(
            "schedule", "retraining", "--host", api.server.host, "--package", str(package.path), *NEEDED, *arguments
        )

    return run


def test_a_schedule_is_created_as_asked(api: SchedulesApi, put: Command, package: Package) -> None:
    result = put("--cron", "30 2 * * 1", "-p", "seeds=[1, 2]", "-p", "force=true", "--timezone", "Europe/Riga")
    assert result.exit_code == 0, result.output
    made = api.the_one()
    assert made["display_name"] == "headstart-retraining"
    assert made["trigger"] == {"cron_schedule": {"cron": "0 30 2 * * 1"}}
    assert (made["no_catchup"], made["max_concurrency"], made["mode"]) == (True, "1", "ENABLE")
    assert made["runtime_config"]["parameters"] == {
        "store": "gs://models/fruits", "data": "gs://data/fruits.tar.gz", "seeds": [1, 2], "force": True,
    }  # fmt: skip
    assert made["pipeline_spec"] == package.document
    assert made["experiment_id"] == api.experiments["headstart"]
    lines = result.output.splitlines()
    assert lines[0] == "Created schedule headstart-retraining."
    assert lines[2] == "At 02:30, only on Monday.  In Kubeflow Pipelines: 0 30 2 * * 1"
    assert "Europe/Riga" in lines[3]
    assert [line.split()[0] for line in lines[4:]] == ["Mon"] * 5
    assert all(" 02:30:00 EE" in line for line in lines[4:])


def test_doing_it_twice_does_not_make_two(api: SchedulesApi, put: Command) -> None:
    put("--cron", "@daily")
    first = api.the_one()
    result = put("--cron", "0 4 * * *")
    assert "Replaced schedule headstart-retraining." in result.output
    second = api.the_one()
    assert second["recurring_run_id"] != first["recurring_run_id"]
    assert second["trigger"]["cron_schedule"]["cron"] == "0 0 4 * * *"
    assert api.once_at_the_same_time == 1
    put("--cron", "@daily", "--name", "another")
    assert len(api.schedules) == 2


def test_several_of_one_name_become_one(api: SchedulesApi, put: Command) -> None:
    put("--cron", "@daily")
    for copy in ("a", "b", "c"):
        api.schedules[copy] = {**next(iter(api.schedules.values())), "recurring_run_id": copy}
    api.page = 2  # the list comes in pages
    put("--cron", "@daily")
    api.the_one()


def test_a_paused_schedule_stays_paused(api: SchedulesApi, put: Command, command: Command) -> None:
    put("--cron", "@daily")
    assert "is paused" in command("schedule", "--pause", "headstart-retraining", "--host", api.server.host).output
    assert api.enabled() == []
    assert "Replaced schedule headstart-retraining, paused." in put("--cron", "@hourly").output
    assert api.the_one()["mode"] == "DISABLE"
    assert "goes on; next:" in command("schedule", "--resume", "headstart-retraining", "--host", api.server.host).output
    assert api.the_one()["mode"] == "ENABLE"


def test_where_the_new_one_cannot_be_made_the_old_one_goes_on(api: SchedulesApi, put: Command) -> None:
    put("--cron", "@daily")
    before = dict(api.the_one())
    api.refuse_creation = True
    result = put("--cron", "@hourly")
    assert result.exit_code == 1
    assert "Failed to create a recurring run" in str(result.exception)
    assert api.the_one() == before


@pytest.mark.parametrize("existing", [False, True])
def test_a_lost_answer_makes_no_second_one(api: SchedulesApi, put: Command, existing: bool) -> None:
    if existing:
        put("--cron", "@daily")
    api.drop_answer_to_creation = True
    assert put("--cron", "@hourly").exit_code == 0
    assert api.the_one()["trigger"]["cron_schedule"]["cron"] == "0 0 * * * *"
    assert len(api.server.requests("POST", PATH)) == 1 + existing


def test_a_recurring_run_of_another_pipeline_is_left_alone(api: SchedulesApi, put: Command) -> None:
    put("--cron", "@daily")
    made = api.the_one()
    made["pipeline_spec"] = {"pipeline_spec": {"pipelineInfo": {"name": "somebody-elses"}}, "platform_spec": {}}
    result = put("--cron", "@hourly")
    assert result.exit_code == 1
    assert "is a recurring run of the pipeline somebody-elses" in str(result.exception)
    assert api.the_one() is made
    assert made["mode"] == "ENABLE"


def test_list_and_delete(api: SchedulesApi, put: Command, command: Command) -> None:
    host = ("--host", api.server.host)
    assert "has no schedule." in command("schedule", "--list", *host).output
    put("--cron", "30 2 * * 1")
    put("--cron", "@daily", "--name", "nightly", "--paused")
    lines = command("schedule", "--list", *host).output.splitlines()
    assert lines[0].split() == ["name", "pipeline", "cron", "state", "next", "data"]
    assert lines[1].split()[:2] == ["headstart-retraining", "headstart-retraining"]
    assert "gs://data/fruits.tar.gz" in lines[1]
    assert " on " in lines[1]
    assert "paused" in lines[2]
    assert "is deleted" in command("schedule", "--delete", "nightly", *host).output
    assert api.the_one()["display_name"] == "headstart-retraining"
    missing = command("schedule", "--delete", "nightly", *host)
    assert missing.exit_code == 1
    assert "has no schedule 'nightly'; there are: headstart-retraining." in str(missing.exception)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "nothing given"),
        (("--list", "--delete", "x"), "--list and --delete given"),
        (("retraining", "--list"), "--list and retraining given"),
        (("retraining",), "--cron is missing"),
        (("retraining", "--cron", "0 0 30 2 *", *NEEDED), "never comes"),
        (("retraining", "--cron", "@daily"), "needs data, store"),
        (("retraining", "--cron", "@daily", *NEEDED, "-p", "sedes=[1]"), "no parameter 'sedes'"),
        (("retraining", "--cron", "@daily", *NEEDED, "-p", "seeds=1"), "not a list"),
        (("retraining", "--cron", "@daily", "--timezone", "Europe/Atlantis", *NEEDED), "no such time zone"),
    ],
)
def test_wrong_use_touches_no_cluster(
    api: SchedulesApi, command: Command, arguments: tuple[str, ...], told: str
) -> None:
    result = command("schedule", *arguments, "--host", api.server.host)
    assert result.exit_code == 2
    assert told in str(result.exception)
    assert api.server.asked == []


def test_a_dry_run_asks_no_server(api: SchedulesApi, put: Command) -> None:
    result = put("--cron", "0 3 * * 1-5", "--dry-run")
    assert "Monday through Friday" in result.output
    assert api.server.asked == []


def test_an_old_server_is_refused(api: SchedulesApi, put: Command) -> None:
    api.version = "2.5.0"
    result = put("--cron", "@daily")
    assert result.exit_code == 1
    assert "needs 2.14" in str(result.exception)
    assert api.schedules == {}


def test_on_a_server_for_several_users_it_is_in_ones_own_namespace(
    api: SchedulesApi, put: Command, command: Command
) -> None:
    put("--cron", "@daily")
    assert "namespace" not in api.server.requests("POST", PATH)[0].body
    api.schedules.clear()
    api.multi_user = True
    put("--cron", "@daily", "--namespace", "team-a", "--service-account", "trainer", "--pipeline-root", "gs://a/b")
    made = api.the_one()
    assert (made["namespace"], made["service_account"]) == ("team-a", "trainer")
    assert made["runtime_config"]["pipeline_root"] == "gs://a/b"
    command("schedule", "--list", "--host", api.server.host, "--namespace", "team-a")
    assert api.server.requests("GET", PATH)[-1].query["namespace"] == "team-a"


def test_placement_and_a_compiled_package_exclude_each_other(put: Command) -> None:
    result = put("--cron", "@daily", "--accelerators", "1")
    assert result.exit_code == 2
    assert "is compiled already" in str(result.exception)


def test_kfps_own_client_reads_the_answers(api: SchedulesApi, put: Command) -> None:
    import kfp

    put("--cron", "@daily")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        client = kfp.Client(host=api.server.host, namespace="kubeflow")
        (read,) = client.list_recurring_runs().recurring_runs
    assert (read.display_name, read.no_catchup, read.max_concurrency) == ("headstart-retraining", True, "1")
    assert read.trigger.cron_schedule.cron == "0 0 0 * * *"
    assert set(api.the_one()) <= set(type(read).attribute_map.values())


def test_the_plain_kfp_command_creates_one_from_the_same_package(
    api: SchedulesApi, put: Command, package: Package, tmp_path: Path
) -> None:
    put("--cron", "0 0 3 * * 0")
    ours = api.the_one()
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "kfp"), "--endpoint", api.server.host, "recurring-run", "create",
            "--experiment-name", "headstart", "--job-name", "plain", "--cron-expression", "0 0 3 * * 0",
            "--max-concurrency", "1", "--enabled", "--pipeline-package-path", str(package.path),
            "store=gs://models/fruits", "data=gs://data/fruits.tar.gz",
        ],
        capture_output=True, text=True, timeout=120, check=False, env={"PATH": "", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (plain,) = (schedule for schedule in api.schedules.values() if schedule["display_name"] == "plain")
    for key in ("pipeline_spec", "runtime_config", "trigger", "mode", "no_catchup", "experiment_id"):
        if key == "runtime_config":
            assert json.loads(json.dumps(ours[key]["parameters"])) == plain[key]["parameters"]
        else:
            assert ours[key] == plain[key], key
    assert int(plain["max_concurrency"]) == int(ours["max_concurrency"])
