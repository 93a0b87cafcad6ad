"""From what was asked for, on the command line or in Python, to the request that the experiment is run with."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.components.credentials import conceal, masked_address
from headstart.components.datasets.left_out import NONE, needed_beside
from headstart.components.datasets.settings import PAPER_CLASSES
from headstart.components.design import AUTO_SIZES, CURVE_DRAWS, CURVE_RUNS, check_sizes
from headstart.components.errors import SettingError
from headstart.components.stages import DEFAULT_ARMS, arms_by_depth, chosen_arms
from headstart.components.training.networks import own_network
from headstart.components.training.prepared_models import find_models
from headstart.pipelines.configuration import spelled_out, whole_path
from headstart.pipelines.local_experiment import ExperimentRequest

# Parameters of the experiment that the pipeline of a curve on prepared models has not.
PREPARING = ("source_data", "source_layout", "hold_out_target", "preparations", "preparation_hours")
# Role of a data set → its published name and what is drawn for it.
ROLES = {"source": ("cifar100", "demo:source"), "intermediate": ("fruits360", "demo:fruits")}


def experiment_request(
    *,
    cifar100: str | Path = "",
    fruits360: str | Path = "",
    source: str | Path = "",
    intermediate: str | Path = "",
    target: str | Path = "",
    prepared: str | Path | Sequence[str | Path] = "",
    preparation_hours: float | None = None,
    source_layout: str = "auto",
    intermediate_layout: str = "auto",
    target_layout: str = "auto",
    runs: int | None = None,
    seeds: Sequence[int] | None = None,
    arms: Sequence[str] = DEFAULT_ARMS,
    frozen: str = "",
    preparations: int = 0,
    draws: int = 0,
    hold_out_target: bool = False,
    preset: str = "",
    network: str = "",
    settings: Mapping[str, Any] | None = None,
    classes: Mapping[str, str] | None = None,
    images_per_class: int = 0,
    test_images_per_class: int = 0,
    image_size: int = 52,
    data_settings: Mapping[str, Any] | None = None,
    target_accuracy: float = 0.0,
    price_per_hour: float = 0.0,
    price_per_label: float = 0.0,
    sizes: Sequence[int | str] = (),
    output: Path | None = None,
    restart: bool = False,
    docker: str = "",
    accelerators: int = 0,
    keep_work: bool = False,
    verbose: bool = False,
    configuration: Mapping[str, Any] | None = None,
    typed: Sequence[str] = (),
) -> ExperimentRequest:
    """Check what can be checked without reading data and return the request; the names are those of `headstart run`.

    With `sizes` those of `headstart curve`, see `headstart.components.design.check_sizes`; then `prepared` is a list of
    outputs of earlier runs, or models, whose weights are transferred, so that nothing is prepared.

    0 and empty mean the default of the preset, or of that command. `configuration` is what a file for `--config` would
    say; it is written beside the results. `typed` are the words after `headstart`, where it was called so.
    SettingError names the option that is wrong.
    """
    if sizes:
        runs = CURVE_RUNS if runs is None and seeds is None else runs
        draws = draws or CURVE_DRAWS
        preparations = preparations or (0 if prepared else 1)
    if prepared and not sizes:
        # It takes the place of the stages whose data are not given.
        source = source or ("" if cifar100 else NONE)
    if prepared and not (intermediate or fruits360):
        intermediate = needed_beside(str(target)) if sizes else NONE
    given = {"source": (source, cifar100), "intermediate": (intermediate, fruits360)}
    layouts = {"source": source_layout, "intermediate": intermediate_layout}
    if target and not prepared and not str(target).startswith("demo:"):
        _refuse_drawn_preparation(str(target), [role for role, uris in given.items() if not any(uris)])
    own_sets = {"source": source, "intermediate": intermediate, "target": target}
    for role, layout in {**layouts, "target": target_layout}.items():
        if layout != "auto" and str(own_sets[role]) in ("", NONE):
            raise SettingError(f"--{role}-layout: there is no --{role} whose layout it would be.", "Leave it out.")
    sets: dict[str, Any] = {}
    for role, (own, published) in given.items():
        alias, drawn = ROLES[role]
        if own and published:
            raise SettingError(f"--{role} and --{alias} name the same set twice.", "Give one of them.")
        sets[f"{role}_data"] = _absolute(str(published or own or drawn), role, alias if published else role)
        sets[f"{role}_layout"] = alias if published else layouts[role]
    if seeds is not None and runs is not None:
        raise SettingError("--runs and --seeds both say which runs there are.", "Give one of them.")
    chosen = _with_network(network, settings or {})
    configuration = _naming_network(configuration or {}, chosen)
    output = output or Path("outputs") / datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    request = ExperimentRequest(
        parameters={
            **sets,
            "target_data": _absolute(str(target), "target"),
            "prepared": "" if sizes else _absolute(str(prepared), "prepared"),
            "preparation_hours": -1.0 if preparation_hours is None else preparation_hours,
            "target_layout": target_layout,
            "seeds": list(range(1, (runs or 10) + 1)) if seeds is None else list(seeds),
            "arms": list(chosen_arms([*arms, *(arms_by_depth(frozen) if frozen else ())])),
            "preparations": preparations,
            "draws": draws,
            "hold_out_target": hold_out_target,
            "preset": preset,
            "settings": chosen,
            "classes": dict(classes or PAPER_CLASSES),
            "images_per_class": images_per_class,
            "test_images_per_class": test_images_per_class,
            "image_size": image_size,
            "data_settings": dict(data_settings or {}),
        },
        report_settings={
            "target_accuracy": target_accuracy,
            "price_per_hour": price_per_hour,
            "price_per_label": price_per_label,
            "command": shlex.join(_command(typed, "curve" if sizes else "run", configuration, output)),
        },
        output=output,
        restart=restart,
        docker_image=docker,
        accelerators=accelerators,
        keep_work=keep_work,
        verbose=verbose,
        configuration=configuration,
    )
    if sizes:
        request.parameters["sizes"] = check_sizes(sizes) if list(sizes) != [AUTO_SIZES] else [AUTO_SIZES]
    if prepared and sizes:
        assert not isinstance(prepared, str | Path)
        if not all(str(uri).strip() for uri in prepared):
            raise SettingError("--prepared: is empty.", "Name the output folder of a run, or a model.")
        request.parameters["prepared"] = [_absolute(str(uri), "prepared") for uri in prepared]
        for name, value in {"--preparations": preparations, "--cifar100": cifar100, "--source": source,
                            "--hold-out-target": hold_out_target,
                            "--preparation-hours": preparation_hours is not None}.items():  # fmt: skip
            if value:
                raise SettingError(
                    f"{name}: the prepared models are given by --prepared; none is made.", "Leave one of them out."
                )
        for name in PREPARING:
            del request.parameters[name]
        for uri in request.parameters["prepared"]:
            if "://" not in uri:
                find_models(uri)  # a slip is said here, not in a task
    return request


def _command(typed: Sequence[str], name: str, configuration: Mapping[str, Any], output: Path) -> list[str]:
    """The command as it was typed, or, where a file or Python said what to run, with every option spelled out.

    With its output, also where that has the default name: the same command goes on there.
    """
    names = [word.partition("=")[0] for word in typed]
    if names[:1] == [name] and "--config" not in names:
        named = any(option == "--output" or option.startswith("-o") for option in names)
        return ["headstart", *map(masked_address, typed), *([] if named else ["--output", str(output)])]
    options = {key: value for key, value in configuration.items() if key not in ("output", "restart", "json")}
    return ["headstart", name, *spelled_out(options), "--output", str(output)]


def _with_network(network: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Put the network into `settings`, a path made absolute; SettingError where there is no such network or file."""
    if network and "network" in settings:
        raise SettingError("--network and --set network=… name the network twice.", "Give one of them.")
    network = network or settings.get("network", "")
    if not network or not isinstance(network, str):
        return dict(settings)
    own = own_network(network)
    if own is None or own.file is None:
        return {**settings, "network": network}
    file = own.file.expanduser().resolve()
    if not file.is_file():
        raise SettingError(f"--network {network}: there is no file {file}.", "Name a Python file and a function in it.")
    return {**settings, "network": f"{file}:{own.function}"}


def _naming_network(configuration: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file for `--config` says with the network as `settings` name it, where they name one."""
    if "network" not in settings:
        return dict(configuration)
    rest = [pair for pair in configuration.get("set", ()) if not pair.startswith("network=")]
    return {**configuration, "network": settings["network"], "set": rest}


def parse_seeds(text: str) -> list[int]:
    """Read `1,2,3`; SettingError where it is anything else."""
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError:
        raise SettingError(f"--seeds {text}: expected whole numbers such as 1,2,3.") from None


def _refuse_drawn_preparation(target: str, drawn: Sequence[str]) -> None:
    """Raise SettingError where photographs would be transferred to from drawings that nobody asked for."""
    if not drawn:
        return
    named = " ".join(f"--{role} FOLDER" for role in drawn)
    asked = " ".join(f"--{role} {ROLES[role][1]}" for role in drawn)
    raise SettingError(
        f"--target {target}: the {' and the '.join(drawn)} set would be drawn by Headstart, and what is learnt from "
        "drawings says nothing about a head start for images of your own.",
        f"Give {named} (or --cifar100, --fruits360), or ask for the drawings: {asked}.",
    )


def _absolute(uri: str, role: str, option: str = "") -> str:
    """Make a local path absolute, since tasks run elsewhere; URIs stay as they are; a missing path is refused here.

    `option` is the one that names it; empty: that of the role.
    """
    path = whole_path(uri)
    if path == uri and not uri.startswith("/"):
        return conceal(uri, role)
    if not Path(path).exists():
        known = "gs://… or s3://…" if role == "prepared" else "gs://…, s3://… or https://…"
        raise SettingError(f"--{option or role} {uri}: there is no such file or folder.", f"Name a path, {known}.")
    return path
