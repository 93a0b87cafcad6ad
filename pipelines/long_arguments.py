"""Hands a task's process an input that is longer than an argument may be: through a file.

The local runner puts a task's whole input into one argument. Linux takes no argument longer than 128 KiB, and the
report's input names the record of every run: from about two hundred runs of each arm on, it is longer. Such an
argument goes into a file; this module, run in the place of kfp's executor, puts it back.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 128 * 1024 - 1  # bytes of one argument, its closing zero not counted (MAX_ARG_STRLEN)
EXECUTOR = "kfp.dsl.executor_main"
_MARK = "@headstart-file:"


def through_files(run: Callable[..., int]) -> Callable[..., int]:
    """Return the local runner's function `run` that starts a task's process, with long arguments handed on in files."""

    def run_with_files(full_command: list[str], **options: Any) -> int:
        if all(len(argument.encode()) <= LIMIT for argument in full_command):
            return run(full_command, **options)
        with tempfile.TemporaryDirectory(prefix="headstart-input-") as folder:
            command: list[str] = []
            for number, argument in enumerate(full_command):
                if len(argument.encode()) <= LIMIT:
                    command.append(argument.replace(f"-m {EXECUTOR}", f"-m {__name__}"))
                    continue
                file = Path(folder, f"argument-{number}")
                file.write_text(argument, encoding="utf-8")
                command.append(f"{_MARK}{file}")
            return run(command, **options)

    return run_with_files


def restored(arguments: list[str]) -> list[str]:
    """Return `arguments` with those that `through_files` put into files read back."""
    return [
        Path(argument.removeprefix(_MARK)).read_text(encoding="utf-8") if argument.startswith(_MARK) else argument
        for argument in arguments
    ]


if __name__ == "__main__":
    from kfp.dsl.executor_main import executor_main

    sys.argv = restored(sys.argv)
    executor_main()
