"""The one exception that Headstart raises for what a user can fix, and the hint at what was meant."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable

PIP_INSTALL = f"{shlex.quote(sys.executable)} -m pip install"
"""The beginning of a command that installs into the environment that this is running in."""
INSTALL_TENSORFLOW = f"Install it with: {PIP_INSTALL} 'headstart[cpu]', or 'headstart[gpu]' for an NVIDIA GPU."


class HeadstartError(Exception):
    """Something a user can fix: a wrong setting, a file that is not what it should be, a service that refuses.

    The message names the setting or file, what was found and what was expected. `remedy` says what to do; the
    command line prints both without a traceback and ends with status 1 (2 for a wrong setting, see `SettingError`).
    """

    exit_status = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        if message.endswith("..") and not message.endswith("..."):
            message = message[:-1]  # it ends with the text of another error, which has a full stop of its own
        super().__init__(f"{message} {remedy}".strip() if remedy else message)
        self.message = message
        self.remedy = remedy


class SettingError(HeadstartError):
    """A setting, parameter or option has a value that cannot be used; nothing was started."""

    exit_status = 2


class TemporaryError(HeadstartError):
    """What may be over when it is tried again: a service that is away, a process that was killed."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean X?" with the known name nearest to `name`, to go after a message; empty if none is near."""
    import difflib  # where it is needed: this module is imported by everything

    near = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {near[0]}?" if near and near[0] != name else ""
