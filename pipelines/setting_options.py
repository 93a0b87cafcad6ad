"""Command-line options that several commands share: settings as NAME=VALUE, and the rule for target classes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from headstart.components.datasets.settings import PAPER_CLASSES
from headstart.components.errors import SettingError

Function = TypeVar("Function", bound=Callable[..., Any])


def parse_settings(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """Read NAME=VALUE pairs; a value that is JSON (a number, true, a list) is that, any other is text."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise SettingError(f"{option} {pair!r}: expected NAME=VALUE.", f"For example {option} batch_size=64.")
        if name.strip() in settings:
            raise SettingError(f"{option}: {name.strip()!r} is given twice.", "Keep one of them.")
        try:
            settings[name.strip()] = json.loads(text, parse_constant=_refuse_constant)
        except ValueError:
            settings[name.strip()] = text
    return settings


def _refuse_constant(text: str) -> Any:
    raise SettingError(f"{text} is not a usable value of a setting.", "Give a finite number.")


def parse_classes(pairs: Sequence[str]) -> dict[str, str]:
    """Read NAME=WORD pairs into a rule; no pairs give the paper's apple, pears and noise."""
    rule: dict[str, str] = {}
    for pair in pairs:
        name, equals, word = pair.partition("=")
        if not equals or not name.strip() or not word.strip():
            raise SettingError(f"--classes {pair!r}: expected NAME=WORD.", "For example --classes pears=pear.")
        if name.strip() in rule:
            raise SettingError(f"--classes: {name.strip()!r} is given twice.", "Give every class one rule.")
        rule[name.strip()] = word.strip()
    return rule or dict(PAPER_CLASSES)


def _classes_callback(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    return parse_classes(value)


class ClassesCommand(click.Command):
    """A command in which `--classes` takes all the NAME=WORD that follow it: `--classes a=x b=y` is two classes."""

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


def classes_option(function: Function) -> Function:
    """Add `--classes NAME=WORD`, which may be repeated; the command receives a dict from class name to word."""
    return click.option(
        "--classes",
        multiple=True,
        metavar="NAME=WORD",
        callback=_classes_callback,
        show_default=False,
        help="Target classes, each with the word that its source classes carry; * takes the rest: "
        "--classes cherry=cherry other='*'.  [default: apple=apple pears=pear noise=*]",
    )(function)


def settings_option(function: Function) -> Function:
    """Add `--set NAME=VALUE`, which may be repeated."""
    return click.option(
        "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Override a recipe or stage setting; repeatable."
    )(function)
