import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from headstart.components.promotion.store import ModelStore, open_store
from headstart.pipelines import options
from headstart.pipelines.packages import Package, compile_package
from headstart.pipelines.placement import Placement
from headstart.pipelines.submission import connection
from tests.commands import invoke

# The server that plays the rest of the API belongs to the tests of submission, the small data to those of promotion.
for area in ("cluster", "promotion"):
    sys.path.insert(0, str(Path(__file__).parents[1] / area))


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from schedules_api import SchedulesApi

    for name in (options.HOST_VARIABLE, options.TOKEN_VARIABLE, options.COOKIE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(connection.Connection, "pause", lambda *_: time.sleep(0.001))
    played = SchedulesApi()
    with played.server:
        yield played


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The retraining, compiled once."""
    file = tmp_path_factory.mktemp("package") / "retraining.yaml"
    return compile_package("retraining", file, Placement(image="registry.example/headstart:0.1.0"))


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """An empty store, in a folder and in a bucket of the real fake-gcs-server."""
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    from google.cloud import storage

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", request.getfixturevalue("storage_server").url)
    name = f"models-{uuid.uuid4().hex[:10]}"
    storage.Client().create_bucket(name)
    return open_store(f"gs://{name}/fruits")


@pytest.fixture
def command() -> Callable[..., Result]:
    return invoke
