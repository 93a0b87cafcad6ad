"""Command-line options that several commands share: settings as NAME=VALUE, and the rule for target classes."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from headstart.components.datasets.settings import PAPER_CLASSES, Layout
from headstart.components.errors import SettingError

LAYOUTS = click.Choice(typing.get_args(Layout))
"""Values of every option that names the layout of a data set."""
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
    for name, text in split_pairs(pairs, option, example="batch_size=64").items():
        try:
            settings[name] = json.loads(text, parse_constant=_refuse_constant)
        except ValueError:
            settings[name] = text
    return settings


def _refuse_constant(text: str) -> Any:
    raise SettingError(f"{text} is not a usable value of a setting.", "Give a finite number.")


def parse_classes(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=WORDS pairs into a rule; no pairs give the paper's apple, pears and noise."""
    rule = split_pairs(pairs, "--classes", "NAME=WORDS", "pears=pear")
    for name, words in rule.items():
        if not words.strip():
            raise SettingError(f"--classes '{name}=': expected NAME=WORDS.", "For example --classes pears=pear.")
    return {name: words.strip() for name, words in rule.items()} or dict(PAPER_CLASSES)


def _classes_callback(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    return parse_classes(value)


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


def confidence_option(function: Function) -> Function:
    """Add `--confidence` of a report or a comparison."""
    return click.option(
        "--confidence",
        type=click.FloatRange(0.5, 1, min_open=True, max_open=True),
        default=0.95,
        show_default=True,
        help="Coverage of the intervals.",
    )(function)


def classes_option(function: Function) -> Function:
    """Add `--classes NAME=WORDS`, which may be repeated; the command receives a dict from class name to words."""
    return click.option(
        "--classes",
        multiple=True,
        metavar="NAME=WORDS",
        callback=_classes_callback,
        show_default=False,
        help="Target classes, each with the words that its source classes carry; * takes the rest: "
        "--classes cherry=cherry other='*'.  [default: apple=apple pears=pear noise=*]",
    )(function)


def settings_option(function: Function) -> Function:
    """Add `--set NAME=VALUE`, which may be repeated."""
    return click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Override a recipe or stage setting; repeatable."
    )(function)
