"""`--config FILE`, `headstart settings`, and what is said of names that do not exist."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from headstart.components.datasets.settings import OPTIONS
from headstart.components.errors import SettingError
from headstart.components.reporting.labels import curve_command
from headstart.components.training.recipes import Recipe
from headstart.pipelines.cli import headstart
from headstart.pipelines.commands import run as run_command
from headstart.pipelines.commands.settings import all_settings
from headstart.pipelines.configuration import config_option, given_options, options_of_call, read_configuration
from headstart.pipelines.local_experiment import ExperimentRequest, _write_configuration, check_request, run_experiment
from headstart.pipelines.request import experiment_request
from tests.json_results import read_result


@click.command()
@config_option
@click.option("--runs", type=click.IntRange(min=1), default=10)
@click.option("--hold-out-target", is_flag=True)
@click.option("--arms", default="a,b")
@click.option("--set", "settings", multiple=True)
@click.option("--price", type=click.FloatRange(min=0))
@click.option("--output", type=click.Path(path_type=Path))
@click.pass_context
def small(ctx: click.Context, **options: Any) -> None:
    click.echo(json.dumps({"options": options, "given": given_options(ctx)}, default=str))


def call(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(small, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


TOML = 'runs = 3\nhold-out-target = true\narms = ["x", "y"]\n[set]\nbatch_size = 64\n"target.optimizer" = "adamw"\n'
YAML = "runs: 3\nhold_out_target: true\narms: [x, y]\nset: {batch_size: 64, target.optimizer: adamw}\n"


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML)])
def test_a_file_gives_options_and_the_command_line_wins(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    options = call("--config", str(file))["options"]
    assert options["runs"] == 3
    assert options["hold_out_target"] is True
    assert options["arms"] == "x,y"
    assert options["settings"] == ["batch_size=64", "target.optimizer=adamw"]
    assert call("--runs", "5", "--config", str(file))["options"]["runs"] == 5


def test_what_was_given_can_be_given_again_as_a_file(tmp_path: Path) -> None:
    import yaml

    first = call("--runs", "4", "--set", "epochs=2", "--set", "flip=true", "--hold-out-target")
    assert first["given"] == {"runs": 4, "set": ["epochs=2", "flip=true"], "hold-out-target": True}
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(first["given"]), encoding="utf-8")
    assert call("--config", str(file))["options"] == first["options"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "rnus = 3", "Did you mean runs?"),
        ("a.yaml", "settings: {epochs: 2}", "Did you mean set?"),
        ("a.toml", "config = 'b.toml'", "is not an option"),
        ("a.toml", "runs = ", "not TOML"),
        ("a.yaml", "runs: [", "cannot be read as YAML"),
        ("a.yaml", "- 1", "expected one mapping with options"),
        ("a.yaml", "a: &x [1]\nb: *x", "aliases"),
        ("a.yaml", "runs:", "has no value"),
        ("a.yaml", "runs: {a: 1}", "takes one value"),
        ("a.json", "{}", "ends in .toml"),
        ("a.yaml", "hold_out_target: true\nhold-out-target: true", "says again"),
        ("a.yaml", "[" * 3000, "nests deeper"),
        ("a.yaml", "output: 2026-01-01", "date into quotes"),
        ("a.yaml", "hold_out_target: 1", "expected true or false"),
        ("a.yaml", "1: 2", "names are texts"),
        ("a.toml", "price = nan", "'price': found nan; expected .* a finite number"),
        ("a.yaml", "set: {weight_decay: -.inf}", "'set': found -inf; expected .* a finite number"),
        ("a.toml", "runs = 0", "'runs': 0 is not in the range"),
        ("a.yaml", "runs: three", "'runs': 'three' is not a valid integer"),
    ],
)
def test_what_a_file_cannot_say_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=rf"(?s){name}.*{message.replace('?', r'.?')}"):
        CliRunner().invoke(small, ["--config", str(file)], catch_exceptions=False)


def test_a_table_in_a_table_is_a_longer_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[set]\ntarget.batch_size = 64\nepochs = 2\n[set.pretrain]\nflip = true\n")
    options = call("--config", str(tmp_path / "a.toml"))["options"]
    assert options["settings"] == ["target.batch_size=64", "epochs=2", "pretrain.flip=true"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the sets, the model and the network that commands name without their folders."""
    for name in ("photos", "none", "cifar", "models"):
        (tmp_path / name).mkdir()
    (tmp_path / "models/a.keras").write_bytes(b"")
    (tmp_path / "own.py").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked_for(words: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> ExperimentRequest:
    """What a command would run."""
    found: list[ExperimentRequest] = []
    monkeypatch.setattr(run_command, "run_experiment", lambda request: found.append(request) or 0)
    done = CliRunner().invoke(headstart, words, obj={}, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return found[0]


def same(first: ExperimentRequest, again: ExperimentRequest) -> None:
    assert again.identity() == first.identity()
    assert list(again.parameters["classes"]) == list(first.parameters["classes"])  # the order numbers the labels
    assert again.report_settings | {"command": ""} == first.report_settings | {"command": ""}
    assert again.keep_work == first.keep_work


@pytest.mark.parametrize(
    "line",
    [
        "run",
        "run --preset fast --runs 3 --frozen 0..4 --arms head,baseline --set target.batch_size=64 --set flip=true",
        "run --source none --intermediate photos --target photos --draws 4 --preparations 2 --seeds 3,1,2",
        "run --prepared models/a.keras --preparation-hours 0 --target photos --network own.py:network --keep-work",
        "run --prepared models/a.keras --target photos --set network=own.py:network --set epochs=1",
        "run --cifar100 cifar --fruits360 ~/ --classes pears=pear apple='a=b' z='*' --hold-out-target",
        "run --target-accuracy 0.9 --price-per-hour 1e-3 --data-setting fit=crop --data-setting skip_share=0.2",
        "curve --sizes 3,6,12 --intermediate photos --prepared models --prepared models/a.keras --runs 2",
        "curve --price-per-label 0.5 --docker registry/image:1 --accelerators 2",
    ],
)
def test_the_file_that_a_run_writes_repeats_it_from_anywhere(
    line: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(place))
    (place / "models/finetuned.keras").write_bytes(b"")
    first = asked_for(shlex.split(line), monkeypatch)
    folder = place / "elsewhere"
    folder.mkdir()
    _write_configuration(folder / "run.yaml", first)
    monkeypatch.chdir(folder)
    (words,) = re.findall(r"^# headstart (.*) --output FOLDER$", (folder / "run.yaml").read_text(), re.M)
    assert words == f"{line.split(maxsplit=1)[0]} --config run.yaml"
    same(first, asked_for(words.split(), monkeypatch))


def test_what_python_asked_for_is_repeated_from_its_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {
        "source": Path("photos"), "intermediate": "photos", "target": "photos", "preset": "fast", "seeds": [4, 2],
        "arms": ("baseline", "head"), "frozen": "0,2",
        "settings": {"target.batch_size": 64, "precision": "float32", "flip": True}, "data_settings": {"fit": "pad"},
        "classes": {"b": "x", "a": "*"}, "hold_out_target": True, "runs": None,
    }  # fmt: skip
    first = experiment_request(configuration=options_of_call(options), **options)
    assert first.parameters["arms"] == ["baseline", "transfer@0", "transfer@2", "head"]
    _write_configuration(place / "run.yaml", first)
    same(first, asked_for(["run", "--config", "run.yaml"], monkeypatch))


FILES = [
    "source = 'photos'\nintermediate = 'photos'\npreparations = 2\nhold-out-target = true\nset = {epochs = 1}",
    "prepared = 'models/a.keras'\npreparation-hours = 2\ntarget = 'photos'\narms = ['baseline', 'head']",
    "source = 'none'\nsource-layout = 'auto'\nintermediate = 'photos'\nclasses = {'a b' = 'x', z = '*'}\nseeds = '1,2'",
]


@pytest.mark.parametrize("text", FILES)
def test_the_curve_that_the_report_of_a_run_from_a_file_offers_can_be_run(
    text: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "models/finetuned.keras").write_bytes(b"")
    (place / "run.toml").write_text(text)
    monkeypatch.setattr("sys.argv", ["headstart", *(words := ["run", "--config", "run.toml", "-o", "models"])])
    first = asked_for(words, monkeypatch)
    same(first, asked_for(shlex.split(first.report_settings["command"])[1:], monkeypatch))
    offered = asked_for(shlex.split(curve_command(first.report_settings["command"]))[1:], monkeypatch)
    assert offered.parameters["prepared"] == [str(place / "models")]
    for name in ("intermediate_data", "target_data", "classes", "settings"):
        assert offered.parameters[name] == first.parameters[name]


@pytest.mark.parametrize("image", [" ", "headstart", "Headstart:1", "https://registry/headstart:1", "headstart:latest"])
def test_an_image_that_cannot_be_run_is_refused_before_anything_is_written(image: str, tmp_path: Path) -> None:
    request = experiment_request(docker=image, output=tmp_path / "out")
    with pytest.raises(SettingError, match=r"^--docker "):
        run_experiment(request)
    assert not (tmp_path / "out").exists()


def test_the_command_names_a_folder_that_has_the_default_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["headstart", *(words := ["run", "--preset", "fast"])])
    first = asked_for(words, monkeypatch)
    assert shlex.split(first.report_settings["command"]) == ["headstart", *words, "--output", str(first.output)]
    first.output.mkdir(parents=True)
    (first.output / "finetuned.keras").write_bytes(b"")
    offered = asked_for(shlex.split(curve_command(first.report_settings["command"]))[1:], monkeypatch)
    assert offered.parameters["prepared"] == [str(place / first.output)]


def test_the_command_of_a_call_in_python_repeats_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"target": "photos", "prepared": "models/a.keras", "classes": {"b": "x", "a": "*"}}
    first = experiment_request(configuration=options_of_call(options), output=Path("new"), **options)
    words = shlex.split(first.report_settings["command"])
    assert words[-2:] == ["--output", "new"]
    same(first, asked_for(words[1:], monkeypatch))
    curve: dict[str, Any] = {"sizes": [3, 6], "prepared": ["models", Path("models/a.keras")], "intermediate": "photos"}
    (place / "models/finetuned.keras").write_bytes(b"")
    for options in (
        curve | {"price_per_label": 0.5, "draws": 3, "runs": 4},
        curve,
        {"sizes": [3, 6], "intermediate": "photos", "preset": "fast"},
        {"price_per_label": 0.5, "intermediate": "photos"},
    ):
        given = {**options, "verbose": True, "keep_work": True}
        first = experiment_request(configuration=options_of_call(given), **given)
        repeated = asked_for(shlex.split(first.report_settings["command"])[1:], monkeypatch)
        assert repeated.parameters == first.parameters
        _write_configuration(place / "run.yaml", first)
        again = asked_for(["curve" if "sizes" in given else "run", "--config", "run.yaml"], monkeypatch)
        assert again.parameters == first.parameters
    first.output.mkdir(parents=True)
    (first.output / "finetuned.keras").write_bytes(b"")
    offered = asked_for(shlex.split(curve_command(first.report_settings["command"]))[1:], monkeypatch)
    assert offered.parameters["prepared"] == [str(place / first.output)]


def test_the_arguments_of_a_program_that_calls_from_python_are_not_the_command(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["study.py", "run", "--fast"])
    options: dict[str, Any] = {"target": "photos", "prepared": "models/a.keras"}
    made = experiment_request(configuration=options_of_call(options), output=Path("new"), **options)
    assert "--fast" not in made.report_settings["command"] and "--target" in made.report_settings["command"]


def test_files_that_are_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such file"):
        read_configuration(tmp_path / "none.toml")
    (tmp_path / "large.toml").write_text("#" * (1 << 20) + "\nruns = 1")
    with pytest.raises(SettingError, match="more than 262,144 bytes"):
        read_configuration(tmp_path / "large.toml")


def test_settings_lists_what_the_models_check() -> None:
    found = {entry["name"]: entry for entry in all_settings() if entry["option"] == "--set"}
    assert set(Recipe.model_fields) <= set(found)
    assert found["learning_rate"]["default"] == Recipe.model_fields["learning_rate"].default
    assert found["optimizer"]["accepts"] == "adam, adamw, muon"
    assert all(entry["description"] or entry["accepts"] for entry in found.values())
    printed = CliRunner().invoke(headstart, ["settings", "batch_size"], obj={})
    assert "batch_size" in printed.output
    as_json = read_result("settings", CliRunner().invoke(headstart, ["settings", "--json"], obj={}).output)
    assert as_json == json.loads(json.dumps(all_settings()))


def test_a_setting_or_a_command_that_is_not_there_gets_a_suggestion() -> None:
    with pytest.raises(SettingError) as caught:
        CliRunner().invoke(headstart, ["settings", "lerning_rate"], obj={}, catch_exceptions=False)
    assert "Did you mean learning_rate?" in caught.value.message
    assert "Did you mean run?" in CliRunner().invoke(headstart, ["rnu"], obj={}).output


@pytest.mark.parametrize("role", ["source", "intermediate", "target"])
def test_a_layout_without_its_set_is_refused(role: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = [f"--{each}=photos" for each in ("source", "intermediate", "target")]
    words = [f"--{role}-layout=csv", *sets]
    assert asked_for(["run", *words], monkeypatch).parameters[f"{role}_layout"] == "csv"
    words.remove(f"--{role}=photos")
    published = {"source": ["--cifar100=photos"], "intermediate": ["--fruits360=photos"], "target": []}[role]
    for absent in published, [] if role == "target" else [f"--{role}=none"]:
        with pytest.raises(SettingError, match=f"--{role}-layout: there is no --{role} whose layout"):
            asked_for(["run", *words, *absent], monkeypatch)


def test_an_import_setting_that_is_an_option_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {entry["name"] for entry in all_settings() if entry["option"] == "--data-setting"}
    assert not listed & set(OPTIONS)
    for name in OPTIONS:
        request = asked_for(["run", "--data-setting", f"{name}=1"], monkeypatch)
        with pytest.raises(SettingError, match=f"{name}: "):
            check_request(request)
        with pytest.raises(SettingError, match="Use "):
            CliRunner().invoke(headstart, ["settings", name], obj={}, catch_exceptions=False)
    check_request(
        asked_for(["run", *(f"--data-setting={name}" for name in ("images_per_class=9", "fit=pad"))], monkeypatch)
    )
