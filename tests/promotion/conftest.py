"""Every test of the store runs on a folder and on two real object stores: fake-gcs-server and SeaweedFS."""

import uuid
from pathlib import Path

import pytest
from signing_keys import key

from headstart.components.promotion import signing
from headstart.components.promotion.store import ModelStore, open_store
from tests.gcs_server import GcsServer
from tests.s3_server import S3Server


@pytest.fixture
def bucket(storage_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket; the environment leads to the emulator."""
    from google.cloud import storage

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server.url)
    name = f"models-{uuid.uuid4().hex[:10]}"
    storage.Client().create_bucket(name)
    return f"gs://{name}"


@pytest.fixture
def s3_bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix; the environment leads to SeaweedFS."""
    s3_server.lead_to(monkeypatch)
    return f"s3://{s3_server.new_place()}"


@pytest.fixture(params=["folder", "bucket", "s3_bucket"])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "store")
    return f"{request.getfixturevalue(request.param)}/team/models"


@pytest.fixture
def store(store_uri: str) -> ModelStore:
    return open_store(store_uri)


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    files = key(tmp_path, "ours")
    monkeypatch.setenv(signing.SIGNING_KEY, str(files[0]))
    monkeypatch.setenv(signing.VERIFYING_KEY, files[1].read_text())  # as text: how a pod gets it from a secret
    return files
