"""The one exception that Headstart raises for what a user can fix."""

INSTALL_TENSORFLOW = "Install it with: pip install 'headstart[cpu]', or 'headstart[gpu]' for an NVIDIA GPU."


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
