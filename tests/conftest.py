import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.components import credentials
from tests import gcs_server
from tests import mlflow_server as tracking
from tests import s3_server as s3
from tests.gcs_server import GcsServer
from tests.s3_server import S3Server

# A shell that starts us in the background has us ignore Ctrl-C, and so would every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _nothing_stays_hidden() -> Iterator[None]:
    """A secret of one test would be hidden in the output of every later one of the same process."""
    before = os.environ.get(credentials.VARIABLE)
    yield
    credentials._hidden.clear()
    os.environ.pop(credentials.VARIABLE, None)
    if before is not None:
        os.environ[credentials.VARIABLE] = before


@pytest.fixture(scope="session")
def real_images() -> Path:
    """The folder with the real subsets; the test is skipped where none is named."""
    folder = os.environ.get("HEADSTART_TEST_DATA", "")
    if not folder:
        pytest.skip("HEADSTART_TEST_DATA names no folder with the real subsets")
    path = Path(folder)
    assert (path / "fruits-360").is_dir(), f"HEADSTART_TEST_DATA={folder} has no fruits-360"
    return path


@pytest.fixture(scope="session")
def storage_server() -> Iterator[GcsServer]:
    """The real fake-gcs-server; a test that wants it sets STORAGE_EMULATOR_HOST to its `url`."""
    with gcs_server.running() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """The real SeaweedFS; a test that wants it calls its `lead_to`."""
    with s3.running(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow tracking server."""
    with tracking.running(tmp_path_factory.mktemp("mlflow")) as url:
        yield url
