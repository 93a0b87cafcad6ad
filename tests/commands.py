"""The `headstart` command called in this process."""

from click.testing import CliRunner, Result

from headstart.components.errors import HeadstartError
from headstart.pipelines.cli import headstart


def invoke(*arguments: object) -> Result:
    """Run a command; the result's exit code is that of its process, an error of ours is in its `exception`."""
    result = CliRunner().invoke(headstart, [*map(str, arguments)], standalone_mode=False, env={"COLUMNS": "200"})
    if isinstance(result.exception, HeadstartError):
        result.exit_code = result.exception.exit_status
    elif result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    elif result.exception is None:
        result.exit_code = result.return_value or 0
    return result
