import os
import signal
from pathlib import Path

import pytest

# A shell that starts us in the background has us ignore Ctrl-C, and so would every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder with the real subsets; the test is skipped where none is named."""
    folder = os.environ.get("HEADSTART_TEST_DATA", "")
    if not folder:
        pytest.skip("HEADSTART_TEST_DATA names no folder with the real subsets")
    path = Path(folder)
    assert (path / "fruits-360").is_dir(), f"HEADSTART_TEST_DATA={folder} has no fruits-360"
    return path
