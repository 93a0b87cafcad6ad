"""The `headstart` command: finds its subcommands, turns errors into one clear message and an exit status."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from typing import Any

import click

from headstart.components.credentials import hide
from headstart.components.errors import HeadstartError
from headstart.components.foreign_text import echo

# Name → module, attribute, one line of help. A module is imported only when its command is called, so that
# `headstart --help` answers at once and no command pays for the imports of another.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("headstart.pipelines.commands.run", "Run the whole experiment on this machine."),
    "data": ("headstart.pipelines.commands.data", "Fetch, import, look at and select data sets."),
    "report": ("headstart.pipelines.commands.report", "Render the report again from run records."),
    "compare": (
        "headstart.pipelines.commands.compare",
        "Say whether one result is slower or less accurate than another.",
    ),
    "predict": ("headstart.pipelines.commands.predict", "Classify images with a trained model."),
    "compile": ("headstart.pipelines.commands.compile", "Write a pipeline as a package for a cluster."),
    "check": ("headstart.pipelines.commands.check", "Say what would stop a run on a cluster, before it starts."),
    "submit": ("headstart.pipelines.commands.submit", "Submit a pipeline to a cluster and follow it."),
    "schedule": ("headstart.pipelines.commands.schedule", "Retrain on a cluster by the clock."),
    "retrain": (
        "headstart.pipelines.commands.retrain",
        "Retrain the last stage on this machine and promote what is better.",
    ),
    "models": ("headstart.pipelines.commands.models", "List, show, pin and roll back promoted models."),
}


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on use; each module calls its command `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="headstart")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks and the log of the runner below.")
@click.pass_context
def headstart(ctx: click.Context, verbose: bool) -> None:
    """How much of a head start does transfer learning give, what does preparing it cost, and when does that pay?"""
    ctx.obj = {"verbose": verbose}


def _complain(message: str, remedy: str) -> None:
    click.secho("Error: ", fg="red", bold=True, err=True, nl=False)
    echo(message, err=True)
    if remedy:
        echo(remedy, err=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for argument in arguments:
        if "://" in argument:
            hide(argument)
    verbose = "--verbose" in arguments or "-v" in arguments
    try:
        status: Any = headstart.main(args=arguments, prog_name="headstart", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(file=shown)
        echo(shown.getvalue().rstrip(), err=True)
        sys.exit(error.exit_code)
    except HeadstartError as error:
        if verbose:
            echo(traceback.format_exc(), err=True)
        _complain(error.message, error.remedy)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        # The reader of our output (head, less) went away; that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except Exception as error:
        if verbose:
            echo(traceback.format_exc(), err=True)
            sys.exit(1)
        _complain(
            f"{type(error).__name__}: {error}",
            "This was not foreseen. The same command with --verbose shows where it happened.",
        )
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
