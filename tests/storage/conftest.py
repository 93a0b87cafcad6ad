"""The real fake-gcs-server and SeaweedFS, and a proxy that breaks connections before them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from breaking_proxy import BreakingProxy

from headstart.components import storage
from tests.gcs_server import GcsServer
from tests.s3_server import S3Server


def put_objects(bucket: str, contents: dict[str, bytes]) -> None:
    """Upload many small objects, many at once."""
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda item: storage.write_bytes(f"{bucket}/{item[0]}", item[1]), contents.items()))


@pytest.fixture
def gcs(storage_server: GcsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Lead to the server and make an empty bucket; yields its name."""
    import uuid

    from google.cloud import storage as google_storage

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server.url)
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    google_storage.Client().create_bucket(name)
    yield name


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lead to the server; returns a bucket and an empty prefix."""
    s3_server.lead_to(monkeypatch)
    return s3_server.new_place()


@pytest.fixture(params=["gs", "s3", "minio"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bucket(scheme: str, request: pytest.FixtureRequest) -> str:
    """The URI of an empty bucket or prefix in each kind of store."""
    return f"{scheme}://{request.getfixturevalue('gcs' if scheme == 'gs' else 's3')}"


@pytest.fixture
def breaking(scheme: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Yield a function that puts a breaking proxy before the server."""
    proxies: list[BreakingProxy] = []
    port = request.getfixturevalue("storage_server" if scheme == "gs" else "s3_server").port

    def start(after: int, cuts: int) -> BreakingProxy:
        proxies.append(BreakingProxy("127.0.0.1", port, after, cuts))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST" if scheme == "gs" else "AWS_ENDPOINT_URL", proxies[-1].url)
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()
