"""Standard output that is lost, and interruptions that nobody sent: a run goes on, the cause is named."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.pipelines.interruption import no_threads_left
from headstart.pipelines.lasting_output import LastingOutput

WRITES = """
import sys
from headstart.pipelines.lasting_output import lasting_console
console = lasting_console()
for number in range(2000):
    console.print(f"line {number}")
sys.stderr.write("went on\\n")
"""


@pytest.mark.parametrize("lost", ["a reader that ends", "a full device"])
def test_a_long_command_goes_on_without_its_output(lost: str) -> None:
    command = [sys.executable, "-c", WRITES]
    if lost == "a full device":
        if not Path("/dev/full").exists():
            pytest.skip("no /dev/full here")
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
        status, err = done.returncode, done.stderr
    else:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "line 0\n"
            process.stdout.close()
            err = process.stderr.read()
            status = process.wait()
    assert status == 0, err
    assert err.count("cannot be written any more") == 1
    assert err.endswith("went on\n")
    assert "Exception ignored" not in err


def test_what_can_be_written_arrives() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    output = LastingOutput(stream)
    assert output.write("é") == 1
    output.flush()
    assert stream.buffer.getvalue() == "é".encode()  # type: ignore[attr-defined]
    assert not output.isatty()


def test_a_short_command_says_that_its_output_is_lost() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "headstart", "--help"],
            check=False, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Standard output cannot be written: No space left on device." in done.stderr
    assert "Exception ignored" not in done.stderr


INTERRUPTS = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"


@pytest.mark.parametrize("limited", [False, True])
def test_an_interruption_by_openblas_is_told_from_ctrl_c(limited: bool, tmp_path: Path) -> None:
    """OpenBLAS sends SIGINT while numpy is imported, where a limit leaves it no memory for its threads."""
    module = tmp_path / "numpy" / "__init__.py"
    module.parent.mkdir()
    module.write_text(INTERRUPTS)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30));" if limited else "pass;"
    code = f"{limit} from headstart.pipelines.cli import main; main(['data', 'show', {str(tmp_path)!r}])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], check=False, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    if limited:
        assert done.returncode == 1, done.stderr
        assert "OpenBLAS" in done.stderr
    else:
        assert done.returncode == 130, done.stderr
        assert "Interrupted." in done.stderr


def test_an_interruption_elsewhere_is_one() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        assert not no_threads_left(error)
