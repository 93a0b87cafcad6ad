"""The `headstart` command: finds its subcommands, turns errors into one clear message and an exit status."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import traceback
from typing import Any

import click
from click.shell_completion import CompletionItem

from headstart.components.credentials import hide
from headstart.components.errors import INSTALL_TENSORFLOW, HeadstartError, suggestion
from headstart.components.foreign_text import echo, printable
from headstart.pipelines.interruption import NO_THREADS, no_threads_left
from headstart.pipelines.lasting_output import OUTPUT_LOST, drop_what_is_buffered

# Name → one line of help. The module of that name in `commands` is imported only when its command is called, so that
# `headstart --help` answers at once and no command pays for the imports of another.
COMMANDS = {
    "run": "Run the whole experiment on this machine.",
    "curve": "Say how many labels transfer saves: every arm at several sizes.",
    "scout": "Rank prepared models for a target set before training.",
    "data": "Fetch, import, look at and select data sets.",
    "report": "Render the report again from run records.",
    "compare": "Say whether one result is slower or less accurate than another.",
    "predict": "Classify images with a trained model.",
    "export": "Hand results and models to other tools (MLflow, ONNX, TFLite).",
    "settings": "List every setting, with its default and what it accepts.",
    "compile": "Write a pipeline as a package for a cluster.",
    "check": "Say what would stop a run on a cluster, before it starts.",
    "submit": "Submit a pipeline to a cluster and follow it.",
    "schedule": "Run a pipeline on a cluster at set times or intervals.",
    "retrain": "Retrain the last stage on this machine and promote what is better.",
    "models": "List, show, pin and roll back promoted models.",
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
        command: click.Command = importlib.import_module(f"headstart.pipelines.commands.{cmd_name}").command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer names and options without importing any command, so that the shell answers at once."""
        names = [CompletionItem(name, help=line) for name, line in COMMANDS.items() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command where there is none of the name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"No such command {printable(args[0])!r}.{suggestion(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table above, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


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
        sys.stdout.flush()  # here, where a failure is reported, and not when Python ends
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
        drop_what_is_buffered(sys.stdout)
        sys.exit(0)
    except (KeyboardInterrupt, click.exceptions.Abort) as error:
        if no_threads_left(error):
            _complain(NO_THREADS, "")
            sys.exit(1)
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except Exception as error:
        if verbose:
            echo(traceback.format_exc(), err=True)
            sys.exit(1)
        _complain(*_explained(error))
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


_UNUSABLE_NAME = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP}
_NO_RIGHT = {errno.EACCES, errno.EPERM, errno.EROFS}


def _explained(error: Exception) -> tuple[str, str]:
    """Say what an exception means that is not one of ours, and what to do about it."""
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and "failed to map segment" in str(error)):
        return "There is not enough memory.", "Is a limit set, by `ulimit -v` or a container?"
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] == "tensorflow":
        return "TensorFlow is not installed.", INSTALL_TENSORFLOW
    if isinstance(error, OSError) and error.errno in OUTPUT_LOST and error.filename is None:
        # Files that we write name themselves in a HeadstartError; without a name it is standard output.
        drop_what_is_buffered(sys.stdout)
        return f"Standard output cannot be written: {error.strerror}.", "What the command was to do may have been done."
    if isinstance(error, OSError) and error.errno in _UNUSABLE_NAME | _NO_RIGHT and error.filename is not None:
        name = os.fsdecode(error.filename)
        shown = name if len(name) < 200 else f"{name[:100]}…"
        remedy = "Give yourself the right to it, or name" if error.errno in _NO_RIGHT else "Name"
        return f"{shown}: cannot be used: {error.strerror}.", f"{remedy} another file or folder."
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # as Path.expanduser says it
        return "There is no home folder for a name that begins with ~.", "Write the folder out, or ./~NAME for a file."
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # as Path.resolve says it
        return f"{error}: the link leads to itself.", "Name another file or folder."
    return (
        f"{type(error).__name__}: {error}",
        "This error was not expected. Run the same command with --verbose to see where it happened.",
    )


if __name__ == "__main__":
    main()
