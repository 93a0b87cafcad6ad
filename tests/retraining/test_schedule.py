"""`headstart schedule` against a server that plays the API's recurring runs."""

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from pipelines_api import API, RUN_ID
from schedules_api import PATH, SchedulesApi

from headstart.pipelines import schedules
from headstart.pipelines.packages import Package
from headstart.pipelines.submission.connection import LostConnectionError
from tests.json_results import read_result

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


def test_the_same_declaration_again_changes_nothing(api: SchedulesApi, put: Command) -> None:
    """GitOps controllers apply it at every sync."""
    for when in (("--cron", "@daily"), ("--every", "6h")):
        put(*when, "-p", "seeds=[1, 2]")
        before = dict(api.the_one())
        api.begin_run(before["recurring_run_id"])
        writes = len([asked for asked in api.server.asked if asked.method in ("POST", "DELETE")])
        result = put(*when, "-p", "seeds=[1, 2]")
        assert result.exit_code == 0
        assert result.output.startswith("Unchanged: schedule headstart-retraining.")
        assert api.the_one() == before
        assert len([asked for asked in api.server.asked if asked.method in ("POST", "DELETE")]) == writes
        api.runs.clear()
    assert put("--every", "6h", "-p", "seeds=[1, 3]").output.startswith("Replaced")


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "PAUSED", "CANCELING"])
@pytest.mark.parametrize("change", ["replace", "delete"])
def test_a_run_under_way_is_not_killed(
    api: SchedulesApi, put: Command, command: Command, state: str, change: str
) -> None:
    put("--cron", "@daily")
    before = dict(api.the_one())
    identity = before["recurring_run_id"]
    api.begin_run(identity, state)
    api.begin_run(identity, "SUCCEEDED", "yesterday")
    api.begin_run("another", "RUNNING", "somebody-elses")

    def run(*more: str) -> Result:
        if change == "replace":
            return put("--cron", "@hourly", *more)
        return command("schedule", "--delete", "headstart-retraining", "--host", api.server.host, *more)

    refused = run()
    assert refused.exit_code == 1
    assert "has a run under way, under-way, which would be killed" in str(refused.exception)
    assert "--end-runs" in str(refused.exception)
    assert api.the_one() == before
    assert api.ended == []
    done = run("--end-runs")
    assert done.exit_code == 0, done.output
    assert api.ended == ["under-way"]
    assert api.never_ended == []
    assert identity not in api.schedules


@pytest.mark.parametrize("change", ["replace", "delete"])
def test_a_run_that_does_not_end_keeps_its_schedule(
    api: SchedulesApi, put: Command, command: Command, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "END_SECONDS", 0.05)
    put("--cron", "@daily")
    before = dict(api.the_one())
    api.begin_run(before["recurring_run_id"])
    api.looks_until_ended = 10**6
    if change == "replace":
        refused = put("--cron", "@hourly", "--end-runs")
    else:
        refused = command("schedule", "--delete", "headstart-retraining", "--end-runs", "--host", api.server.host)
    assert refused.exit_code == 1
    assert "Run under-way was told to end and had not ended" in str(refused.exception)
    assert api.the_one() == before


def test_an_api_that_is_lost_while_a_run_is_ended_leaves_word_of_the_pause(
    api: SchedulesApi, put: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("--cron", "@daily")
    api.begin_run(api.the_one()["recurring_run_id"])
    set_enabled = schedules.set_enabled

    def lost(*_: object) -> None:
        raise LostConnectionError("The API does not answer.")

    monkeypatch.setattr(schedules, "END_SECONDS", 0.05)
    monkeypatch.setattr(schedules, "get_run", lost)
    refused = put("--cron", "@hourly", "--end-runs")
    assert "had not ended" in str(refused.exception)
    assert api.the_one()["mode"] == "ENABLE"
    monkeypatch.setattr(schedules, "set_enabled", lambda *given: lost() if given[2] else set_enabled(*given))
    refused = put("--cron", "@hourly", "--end-runs")
    assert "had not ended" in str(refused.exception) and "is paused now" in str(refused.exception)
    assert "headstart schedule --resume headstart-retraining" in str(refused.exception)


def test_pausing_leaves_a_run_under_way_alone(api: SchedulesApi, put: Command, command: Command) -> None:
    put("--cron", "@daily")
    api.begin_run(api.the_one()["recurring_run_id"])
    assert command("schedule", "--pause", "headstart-retraining", "--host", api.server.host).exit_code == 0
    assert api.the_one()["mode"] == "DISABLE"
    assert api.ended == []


def test_an_interval_instead_of_times(api: SchedulesApi, put: Command, command: Command) -> None:
    result = put("--every", "36h")
    assert result.exit_code == 0, result.output
    assert api.the_one()["trigger"] == {"periodic_schedule": {"interval_second": "129600"}}
    assert "Every 36 hours, from when the schedule was made." in result.output
    assert "every 36h" in command("schedule", "--list", "--host", api.server.host).output
    command("schedule", "--pause", "headstart-retraining", "--host", api.server.host)
    resumed = command("schedule", "--resume", "headstart-retraining", "--host", api.server.host)
    assert "goes on, every 36h." in resumed.output
    assert put("--every", "2d").output.startswith("Replaced")
    assert api.the_one()["trigger"] == {"periodic_schedule": {"interval_second": "172800"}}


def test_run_now_starts_what_the_schedule_starts(api: SchedulesApi, put: Command, command: Command) -> None:
    run_now = ("schedule", "--run-now", "headstart-retraining", "--host", api.server.host)
    assert "has no schedule" in str(command(*run_now).exception)
    put("--cron", "@daily", "-p", "seeds=[7]", "--service-account", "trainer", "--pipeline-root", "gs://a/b")
    declared = api.the_one()
    result = command(*run_now)
    assert result.exit_code == 0, result.output
    assert f"submit --attach {RUN_ID}" in result.output
    [run] = api.runs
    for key in ("pipeline_spec", "runtime_config", "experiment_id", "service_account"):
        assert run[key] == declared[key], key
    api.begin_run(declared["recurring_run_id"])
    refused = command(*run_now)
    assert refused.exit_code == 1
    assert "has a run under way, under-way" in str(refused.exception)
    assert len(api.server.requests("POST", f"{API}/runs")) == 1


def test_parameters_from_files(
    api: SchedulesApi, command: Command, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("where.json").write_text(json.dumps({"store": "gs://models/fruits", "data": "gs://data/old.tar.gz"}))
    Path("how.yaml").write_text("seeds: [1, 2]\npreset: fast\nimage_size: 64\nsettings:\n  epochs: 3\n")
    given = ("--cron", "@daily", "-p", "@where.json", "-p", "data=gs://data/new.tar.gz", "-p", "@how.yaml")
    result = command("schedule", "retraining", "--host", api.server.host, "--package", str(package.path), *given)
    assert result.exit_code == 0, result.output
    assert api.the_one()["runtime_config"]["parameters"] == {
        "store": "gs://models/fruits", "data": "gs://data/new.tar.gz", "seeds": [1, 2], "preset": "fast",
        "image_size": 64, "settings": {"epochs": 3},
    }  # fmt: skip


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


def test_list_and_delete(api: SchedulesApi, put: Command, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    host = ("--host", api.server.host)
    assert "has no schedule." in command("schedule", "--list", *host).output
    put("--cron", "30 2 * * 1")
    put("--cron", "@daily", "--name", "nightly", "--paused")
    lines = command("schedule", "--list", *host).output.splitlines()
    assert lines[0].split() == ["name", "pipeline", "when", "state", "next", "data"]
    assert lines[1].split()[:2] == ["headstart-retraining", "headstart-retraining"]
    assert "gs://data/fruits.tar.gz" in lines[1]
    assert " on " in lines[1]
    assert "paused" in lines[2]
    # One line for each, however narrow: another program may read it.
    monkeypatch.setenv("COLUMNS", "40")
    narrow = command("schedule", "--list", *host).output.splitlines()
    assert narrow == lines and len(lines) == 3
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
        (("retraining", "--cron", "@daily", "--every", "1h", *NEEDED), "--cron and --every both say when"),
        (("retraining", "--every", "0h", *NEEDED), "from 1m to 366d"),
        (("retraining", "--every", "90 s", *NEEDED), "from 1m to 366d"),
        (("--list", "--run-now", "x"), "--list and --run-now given"),
        (("retraining", "--cron", "@daily", "-p", "@nowhere.yaml"), "there is no such file"),
        (("retraining", "--cron", "@daily", *NEEDED, "-p", "@list.yaml"), "expected one mapping with parameters"),
        (("retraining", "--cron", "@daily", *NEEDED, "-p", "@empty.yaml"), "preset: has no value"),
        (("retraining", "--cron", "@daily", *NEEDED, "-p", "@date.yaml"), "put a date into quotes"),
        (("retraining", "--cron", "@daily", *NEEDED, "-p", "@nan.yaml"), "which JSON has no value for"),
        (("retraining", "--cron", "@daily", "-p", "@twice.yaml", "-p", "@twice.yaml"), "is in another file too"),
        (("retraining", "--cron", "0 0 30 2 *", *NEEDED), "never comes"),
        (("retraining", "--cron", "@daily"), "needs data, store"),
        (("retraining", "--cron", "@daily", *NEEDED, "-p", "sedes=[1]"), "no parameter 'sedes'"),
        (("retraining", "--cron", "@daily", *NEEDED, "-p", "seeds=1"), "not a list"),
        (("retraining", "--cron", "@daily", "--timezone", "Europe/Atlantis", *NEEDED), "no such time zone"),
    ],
)
def test_wrong_use_touches_no_cluster(
    api: SchedulesApi,
    command: Command,
    arguments: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"list": "- 1", "empty": "preset:", "date": "data: 2026-11-25", "nan": "settings: {a: .nan}",
             "twice": "preset: fast"}  # fmt: skip
    for name, content in files.items():
        Path(f"{name}.yaml").write_text(content)
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


def test_json_names_what_was_done(api: SchedulesApi, put: Command, command: Command) -> None:
    words = ("--host", api.server.host, "--json")
    assert read_result("schedule", put("--cron", "@daily", "--json").stdout)["action"] == "created"
    assert read_result("schedule", put("--cron", "@daily", "--json").stdout)["action"] == "unchanged"
    (listed,) = read_result("schedule --list", command("schedule", "--list", *words).stdout)["schedules"]
    assert (listed["name"], listed["enabled"]) == ("headstart-retraining", True)
    assert listed["parameters"] == {"store": "gs://models/fruits", "data": "gs://data/fruits.tar.gz"}
    for option, action in (
        ("--pause", "paused"),
        ("--resume", "resumed"),
        ("--run-now", "started"),
        ("--delete", "deleted"),
    ):
        found = read_result("schedule", command("schedule", option, "headstart-retraining", *words).stdout)
        assert (found["name"], found["action"]) == ("headstart-retraining", action)
    assert read_result("schedule --list", command("schedule", "--list", *words).stdout) == {"schedules": []}


@pytest.mark.parametrize(
    ("option", "named"),
    [
        (("--delete", "headstart-retraining", "--dry-run"), "--dry-run: cannot go with --delete"),
        (("--pause", "headstart-retraining", "--end-runs"), "--end-runs: cannot go with --pause"),
        (("--run-now", "headstart-retraining", "-p", "force=true"), "-p: cannot go with --run-now"),
        (("--resume", "headstart-retraining", "--cron", "@daily"), "--cron: cannot go with --resume"),
        (("--pause", "headstart-retraining", "--accelerators", "1"), "--accelerators: cannot go with --pause"),
        (("--pause", "headstart-retraining", "--timezone", "Europe/Paris"), "--timezone: cannot go with --pause"),
    ],
)
def test_what_a_schedule_that_is_there_would_not_heed_is_refused(
    api: SchedulesApi, put: Command, command: Command, option: tuple[str, ...], named: str
) -> None:
    put("--cron", "@daily")
    before = dict(api.the_one())
    refused = command("schedule", *option, "--host", api.server.host)
    assert refused.exit_code == 2
    assert named in str(refused.exception)
    assert api.the_one() == before
