"""Messages, the registry, pruning, differences and manifests, against real servers and stores."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from rich.console import Console
from store_contents import manifest, outcome, put, version_folder

from headstart.components.errors import SettingError
from headstart.components.promotion import notify as notifying
from headstart.components.promotion.notify import check_address, notify, register
from headstart.components.promotion.store import ModelStore, open_store
from headstart.pipelines.local_retraining import RetrainingRequest, _tell
from tests.commands import invoke
from tests.json_results import read_result


class Server:
    """Answers as `answer(method, path, body)` says, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answer: Callable[[str, str, Any], tuple[int, Any]] = lambda *_: (204, None)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                server.asked.append((self.command, self.path, body))
                status, content = server.answer(self.command, self.path, body)
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", str(0 if content is None else len(data)))
                self.end_headers()
                if content is not None:
                    self.wfile.write(data)

            do_GET = do_POST = handle_one  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.mark.parametrize("status", ["promoted", "candidate", "refused", "failed", "unusable", "superseded"])
def test_one_message_says_how_it_ended(server: Server, status: str) -> None:
    ended = outcome("two", 1, "run-2").model_copy(update={"status": status, "version": 2, "reasons": ["Größer als 1."]})
    assert notify(f"{server.url}/hook?token=hunter2", ended, "gs://b/models") == ""
    ((method, path, body),) = server.asked
    assert (method, path) == ("POST", "/hook?token=hunter2")
    assert body == {
        "status": status, "title": "undecided", "reasons": ["Größer als 1."], "version": 2, "current": 1,
        "run_id": "run-2", "at": ended.at, "data_digest": ended.data_digest, "store": "gs://b/models",
    }  # fmt: skip


def test_nothing_to_do_is_no_message(server: Server) -> None:
    ended = outcome("two", 1, "run-2").model_copy(update={"status": "unchanged"})
    assert notify(server.url, ended, "store") == ""
    assert server.asked == []


@pytest.mark.parametrize(
    ("answered", "told"),
    [((500, {}), "it answers 500"), ((404, None), "it answers 404"), ((302, None), "it answers with a redirect (302)"),
     ((200, b"{"), "could not be delivered")],
)  # fmt: skip
def test_a_message_that_fails_is_a_sentence_without_the_address(
    server: Server, answered: tuple[int, Any], told: str
) -> None:
    server.answer = lambda *_: answered
    said = notify(f"{server.url}/hook?token=hunter2", outcome("two", 1, "r"), "store")
    assert told in said
    assert "hunter2" not in said
    assert len(server.asked) == 1  # a redirect is not followed: it could lead anywhere


def test_nobody_there_and_nobody_answering(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "it cannot be reached" in notify("http://127.0.0.1:9/hook", outcome("two", 1, "r"), "store")
    monkeypatch.setattr(notifying, "SECONDS", 0.2)
    hold = threading.Event()
    server.answer = lambda *_: (hold.wait(20), (204, None))[1]
    assert "no answer within 0.2 s" in notify(server.url, outcome("two", 1, "r"), "store")
    hold.set()


@pytest.mark.parametrize(
    "url", ["hook", "ftp://h/x", "http://", "file:///etc/passwd", "http://h:99999/", "https://[::1"]
)
def test_an_address_is_checked_before_anything_is_trained(url: str) -> None:
    with pytest.raises(SettingError, match="--notify"):
        check_address(url, "--notify")


class Registry:
    """Kubeflow's model registry as far as it is asked."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {}
        self.versions: dict[tuple[str, str], dict[str, Any]] = {}
        self.artifacts: dict[str, Any] = {}

    def __call__(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        from urllib.parse import parse_qs, urlsplit

        parts = urlsplit(path)
        name, query = parts.path.removeprefix("/api/model_registry/v1alpha3/"), parse_qs(parts.query)
        if (method, name) == ("GET", "registered_model"):
            found = self.models.get(query["name"][0])
            return (200, found) if found else (404, {"code": "", "message": "not found"})
        if (method, name) == ("POST", "registered_models"):
            self.models[body["name"]] = {"id": "7", **body}
            return 201, self.models[body["name"]]
        if (method, name) == ("GET", "model_version"):
            found = self.versions.get((query["parentResourceId"][0], query["name"][0]))
            return (200, found) if found else (404, {})
        if (method, name) == ("POST", "model_versions"):
            made = {"id": f"v{len(self.versions)}", **body}
            self.versions[body["registeredModelId"], body["name"]] = made
            return 201, made
        assert method == "POST" and name.endswith("/artifacts")
        self.artifacts[name.split("/")[1]] = body
        return 201, {"id": "a", **body}


def test_a_version_is_registered_once(server: Server, store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    registry = Registry()
    server.answer = registry
    for _ in range(2):
        assert register(server.url, store, 1, "fruits & co") == ""
    assert list(registry.models) == ["fruits & co"]
    (made,) = registry.versions.values()
    assert (made["name"], made["registeredModelId"]) == ("1", "7")
    assert made["customProperties"]["data_digest"] == {
        "metadataType": "MetadataStringValue", "string_value": store.manifest(1).data_digest,
    }  # fmt: skip
    assert registry.artifacts["v0"]["uri"] == store.serving_uri(1)
    put(store, tmp_path, "second")
    assert register(server.url, store, 2, "fruits & co") == ""
    assert len(registry.models) == 1 and len(registry.versions) == 2


@pytest.mark.parametrize("answered", [(500, {}), (200, []), (200, {"name": "x"}), (200, b"<html>")])
def test_a_registry_that_fails_loses_nothing(server: Server, answered: tuple[int, Any], tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    server.answer = lambda *_: answered
    said = register(server.url, store, 1, "fruits")
    assert said.startswith("--registry: version 1 could not be registered")
    assert said.endswith("It stays in the store.")
    ended = outcome("first", None, "r").model_copy(update={"status": "promoted", "version": 1})
    screen = Console(record=True, width=200)
    _tell(RetrainingRequest({}, notify=server.url, registry=server.url), screen, store, ended)
    assert "could not be registered" in screen.export_text()
    assert store.pointer()[0].version == 1  # type: ignore[union-attr]


def test_a_store_that_cannot_be_read_keeps_a_version_from_the_registry_and_fails_nothing(
    server: Server, tmp_path: Path
) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    (tmp_path / "store" / "versions" / "1" / "version.json").write_text("{")
    said = register(server.url, store, 1, "fruits")
    assert said.startswith("--registry: version 1 could not be registered: ") and "damaged" in said


def models(*arguments: str) -> Result:
    return invoke("models", *arguments)


def test_prune_says_first_and_removes_then(store: ModelStore, tmp_path: Path) -> None:
    for text in ("one", "two", "three", "four"):
        put(store, tmp_path, text)
    command = ("prune", "--keep", "1", "--store", store.uri)
    assert "Would remove versions: 1, 2." in models(*command, "--dry-run").output
    assert len(store.versions()) == 4
    assert "Removed versions: 1, 2." in models(*command).output
    assert [one.manifest.version for one in store.versions()] == [3, 4]


def test_diff_names_what_differs(store: ModelStore, tmp_path: Path) -> None:
    for text, accuracy, recall, recipe in (("one", 0.9, 0.8, {"epochs": 3}), ("two", 0.95, 0.9, {"epochs": 5})):
        folder = version_folder(tmp_path, text)
        (folder / "record.json").write_text(json.dumps({"preset": "fast", "recipe": recipe}))
        about = manifest(text).model_copy(update={"accuracy": accuracy, "recalls": {"apple": recall, "pears": 1.0}})
        store.add(folder, about)
    found = read_result("models diff", models("diff", "1", "2", "--json", "--store", store.uri).output)
    assert found["accuracy"] == {"1": 0.9, "2": 0.95}
    assert found["recall of apple"] == {"1": 0.8, "2": 0.9}
    assert found["recipe: epochs"] == {"1": 3, "2": 5}
    assert not {"recall of pears", "recipe: preset", "image_size"} & set(found)
    assert "recall of apple" in models("diff", "1", "2", "--store", store.uri).output
    assert "do not differ" in models("diff", "1", "1", "--store", store.uri).output


def test_the_manifest_is_an_inference_service_with_digest_and_share(bucket: str, tmp_path: Path) -> None:
    import hashlib

    store = open_store(f"{bucket}/models")
    put(store, tmp_path, "one")
    refused = models("manifest", "--canary", "10", "--store", store.uri)
    assert "no version was in use before" in str(refused.exception)
    put(store, tmp_path, "two")
    service = yaml.safe_load(models("manifest", "--name", "fruits", "--canary", "10", "--store", store.uri).output)
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 10
    assert predictor["model"]["storageUri"] == f"{store.uri}/versions/2/serving"
    data = store.backend.read("versions/2/version.json")[0] or b""
    assert service["metadata"]["annotations"] == {
        "headstart/version": "2",
        "headstart/manifest-sha256": hashlib.sha256(data).hexdigest(),
        "headstart/previous-storage-uri": f"{store.uri}/versions/1/serving",
    }
    assert "expected lower-case" in str(models("manifest", "--name", "Fruits!", "--store", store.uri).exception)
    assert "is a folder on this machine" in str(models("manifest", "--store", str(tmp_path / "local")).exception)
    assert models("rollback", "--store", store.uri).exception is None
    refused = models("manifest", "--canary", "10", "--store", store.uri)
    assert "the rest of the requests would go to version 2, which was rolled back" in str(refused.exception)
    service = yaml.safe_load(models("manifest", "--store", store.uri).output)
    assert read_result("models manifest", models("manifest", "--store", store.uri, "--json").stdout) == service
    assert "headstart/previous-storage-uri" not in service["metadata"]["annotations"]
