"""Command-line options that several commands share: settings and parameters, target classes, store, connection."""

from __future__ import annotations

import functools
import json
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from headstart.components.datasets.settings import PAPER_CLASSES, Layout
from headstart.components.errors import SettingError

LAYOUTS = click.Choice(typing.get_args(Layout))
"""Values of every option that names the layout of a data set."""
# The first is the name that kfp's own client reads.
HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"
TOKEN_VARIABLE = "KF_PIPELINES_TOKEN"
COOKIE_VARIABLE = "KF_PIPELINES_COOKIE"


class Address(click.types.StringParamType):
    """A local path or a URI, of which shells complete the former."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Leave it to the shell, which knows the files."""
        return [CompletionItem(incomplete, type="file")]


ADDRESS = Address()
Function = TypeVar("Function", bound=Callable[..., Any])


def split_pairs(pairs: Sequence[str], option: str, form: str = "NAME=VALUE", example: str = "") -> dict[str, str]:
    """Split what was given to a repeatable option as NAME=VALUE; every option of that form goes through here.

    SettingError, which says the `form` and an `example`, for a pair without name or `=` and for a name given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise SettingError(
                f"{option} {pair!r}: expected {form}.", f"For example {option} {example}." if example else ""
            )
        if name in values:
            raise SettingError(f"{option}: {name!r} is given twice.", "Keep one of them.")
        values[name] = text
    return values


def parse_settings(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Read NAME=VALUE pairs; a value that is JSON (a number, true, a list) is that, any other is text."""
    settings: dict[str, Any] = {}
    for name, text in split_pairs(pairs, option, example=_EXAMPLES.get(option, "")).items():
        try:
            settings[name] = json.loads(text, parse_constant=functools.partial(_refuse_constant, f"{option} {name}"))
        except ValueError:
            settings[name] = text
    return settings


def _refuse_constant(what: str, text: str) -> Any:
    raise SettingError(f"{what}: {text} is not a usable value.", "Give a finite number.")


# A pair for each option that takes settings.
_EXAMPLES = {"--set": "batch_size=64", "--data-setting": "fit=crop", "--rule": "margin=0.01"}


def parse_classes(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=WORDS pairs into a rule; no pairs give the paper's apple, pears and noise."""
    rule = split_pairs(pairs, "--classes", "NAME=WORDS", "pears=pear")
    for name, words in rule.items():
        if not words.strip():
            raise SettingError(f"--classes '{name}=': expected NAME=WORDS.", "For example --classes pears=pear.")
    return {name: words.strip() for name, words in rule.items()} or dict(PAPER_CLASSES)


class ClassesCommand(click.Command):
    """A command in which `--classes` takes all the NAME=WORDS that follow it: `--classes a=x b=y` is two classes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option's name before every further pair, which is what click understands."""
        spread: list[str] = []
        within = False
        for argument in args:
            pair = within and "=" in argument and not argument.startswith("-")
            if pair and spread[-1] != "--classes":
                spread.append("--classes")
            within = pair or argument == "--classes"
            spread.append(argument)
        return super().parse_args(ctx, spread)


confidence_option = click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
    default=0.95,
    show_default=True,
    help="Coverage of the intervals.",
)


def classes_option(first: str = "") -> Callable[[Function], Function]:
    """Add --classes, of which the command receives a dict from class name to words.

    `first` is a default that comes before the paper's classes.
    """
    return click.option(
        "--classes",
        multiple=True,
        metavar="NAME=WORDS",
        callback=lambda _, __, pairs: parse_classes(pairs),
        show_default=False,
        help="Target classes, each with the words that its source classes carry; * takes the rest: "
        f"--classes cherry=cherry other='*'.  [default: {first}apple=apple pears=pear noise=*]",
    )


settings_option = click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE",
    help="Override a setting of training, see `headstart settings`; repeatable.",
)  # fmt: skip
data_settings_option = click.option(
    "--data-setting",
    "data_settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Override a data setting, see `headstart settings`; repeatable.",
)
parameter_option = click.option(
    "-p", "--parameter", "pairs", multiple=True, metavar="NAME=VALUE|@FILE",
    help="A run's parameter, or a YAML or JSON file of parameters; repeatable. A single one overrides a file's.",
)  # fmt: skip
store_option = click.option(
    "--store", "store_uri", required=True, type=ADDRESS, envvar="HEADSTART_STORE", metavar="URI",
    help="Model store: a folder, gs://BUCKET/PREFIX or s3://BUCKET/PREFIX; also HEADSTART_STORE.",
)  # fmt: skip
target_accuracy_option = click.option(
    "--target-accuracy", type=click.FloatRange(0, 1), default=0.0, show_default=True,
    help="Validation accuracy for time to accuracy, a fraction; 0: the best that every baseline run reaches.",
)  # fmt: skip
accelerators_option = click.option(
    "--accelerators", type=click.IntRange(0, 16), default=0,
    help="GPUs of this machine that each run trains on; 0: the processor trains.",
)  # fmt: skip
test_images_option = click.option(
    "--test-images-per-class", type=click.IntRange(min=0), default=0,
    help="Test images of each class; 0: as many as every class has.",
)  # fmt: skip
image_size_option = click.option(
    "--image-size", type=click.IntRange(min=40, max=512), default=52, help="Height and width of images in pixels."
)
price_per_hour_option = click.option(
    "--price-per-hour", type=click.FloatRange(min=0), default=0.0, show_default=True,
    help="Of one accelerator, or of the machine where there is none; turns time into cost; 0: not.",
)  # fmt: skip


def read_parameters(given: Sequence[str]) -> dict[str, str]:
    """Return the texts of parameters by name; what a file says other than as text is JSON.

    SettingError for a file that cannot be read, and for a name in two files or twice by itself.
    """
    from headstart.pipelines.yaml_files import read_mapping

    values: dict[str, str] = {}
    for file in (Path(text[1:]).expanduser() for text in given if text.startswith("@")):
        if not file.is_file():
            raise SettingError(f"-p @{file}: there is no such file.", "Name a YAML or JSON file of parameters.")
        for name, value in read_mapping(file, "parameters of a run, NAME: VALUE").items():
            if name in values:
                raise SettingError(f"-p @{file}: {name!r} is in another file too.", "Keep one of them.")
            values[name] = value if isinstance(value, str) else _json(file, name, value)
    return values | split_pairs([text for text in given if not text.startswith("@")], "-p", example="preset=fast")


def _json(file: Path, name: str, value: Any) -> str:
    if value is None:
        raise SettingError(f"-p @{file}: {name}: has no value.", "Leave it out for its default.")
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"-p @{file}: {name}: found {value!r}, which JSON has no value for ({error}).",
            "Expected a text, a finite number, true or false, a list or a mapping; put a date into quotes.",
        ) from error


def grouped(name: str, *options: click.Option) -> Callable[[Function], Function]:
    """Add options to a command, which receives their values as one dict, its argument `name`."""

    def add(function: Function) -> Any:
        @functools.wraps(function)
        def command(*arguments: Any, **given: Any) -> Any:
            values = {option.name: given.pop(str(option.name)) for option in options}
            return function(*arguments, **{name: values}, **given)

        command.__click_params__ = [*getattr(function, "__click_params__", []), *reversed(options)]  # type: ignore[attr-defined]
        return command

    return add


def options_given(context: click.Context) -> dict[str, click.Option]:
    """Return the options that a command receives and that were given to it, by the name of the parameter."""
    return {
        option.name: option
        for option in context.command.params
        if isinstance(option, click.Option)
        and option.name
        and option.expose_value
        and context.get_parameter_source(option.name) not in (ParameterSource.DEFAULT, None)
    }


def changed_options() -> dict[str, str]:
    """Return the options of the command that have another value than their default, by the name of the parameter."""
    context = click.get_current_context()
    return {
        name: option.opts[0]
        for name, option in options_given(context).items()
        if context.params[name] != option.get_default(context)
    }


def refuse_beside(what: str, options: Iterable[str], remedy: str = "Leave it out.") -> None:
    """Refuse `options`, which `what` would not heed; SettingError if there are any."""
    if refused := ", ".join(options):
        raise SettingError(f"{refused}: cannot go with {what}. Nothing was done.", remedy)


connection_options = grouped(
    "address",
    click.Option(
        ["--host"], default="", metavar="URL",
        help=f"Address of ml-pipeline-ui or ml-pipeline.  [default: {HOST_VARIABLE}, the cluster we are in, or "
        "the kubeconfig's, through its proxy]",
    ),
    click.Option(
        ["--namespace", "-n"], default="kubeflow", show_default=True,
        help="Namespace of Kubeflow Pipelines; where it serves several users, yours.",
    ),
    click.Option(["--token"], default="", help=f"Bearer token.  [default: {TOKEN_VARIABLE}, or a pod's own]"),
    click.Option(["--cookie"], default="", help=f"Cookie of a login page.  [default: {COOKIE_VARIABLE}]"),
    click.Option(
        ["--certificate-authority"], default="", metavar="FILE", help="Certificates to trust for --host, in PEM."
    ),
)  # fmt: skip
"""Options that say where the API is and who asks: the arguments of `submission.connection.connect`."""
