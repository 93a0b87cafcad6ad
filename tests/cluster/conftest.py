import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from pipelines_api import PipelinesApi

from headstart.pipelines import options
from headstart.pipelines.packages import Package, compile_package
from headstart.pipelines.placement import Placement
from headstart.pipelines.submission import connection
from tests.commands import invoke

IMAGE = "registry.example/headstart:0.1.0"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[PipelinesApi]:
    """A server that plays Kubeflow Pipelines; looks follow each other without a wait."""
    for name in (options.HOST_VARIABLE, options.TOKEN_VARIABLE, options.COOKIE_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(connection.Connection, "pause", lambda *_: time.sleep(0.001))
    played = PipelinesApi()
    with played.server:
        yield played


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The experiment without accelerators, compiled once."""
    return compile_package("experiment", tmp_path_factory.mktemp("package") / "experiment.yaml", Placement(image=IMAGE))


@pytest.fixture(scope="session")
def gpu_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The experiment with one accelerator for each training task."""
    placement = Placement(image=IMAGE, accelerators=1)
    return compile_package("experiment", tmp_path_factory.mktemp("package") / "gpu.yaml", placement)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run `headstart` in a folder of its own; the result's exit code is that of the process."""
    monkeypatch.chdir(tmp_path)
    return invoke
