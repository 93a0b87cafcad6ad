"""One message to an address when a retraining has ended, and the registration of a version in Kubeflow's registry.

Neither ever stops or fails a retraining: what goes wrong is a sentence for the screen. Addresses may hold a secret, so
no sentence repeats them.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import Manifest, Outcome

SECONDS = 10.0
TOLD = frozenset({"promoted", "candidate", "refused", "failed", "unusable", "superseded"})
_POSTED = {"status", "title", "reasons", "version", "current", "run_id", "at", "data_digest"}
_API = "/api/model_registry/v1alpha3"
_LONGEST = 1 << 20


def check_address(url: str, option: str) -> None:
    """Raise SettingError where `url` is no http or https address."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        sound = False
    if not sound:
        raise SettingError(f"{option}: expected an http:// or https:// address, found another text.")


def notify(url: str, outcome: Outcome, store_uri: str) -> str:
    """Post how a retraining ended; return what went wrong, or nothing. `unchanged` is not worth a message."""
    if outcome.status not in TOLD:
        return ""
    try:
        _request("POST", url, outcome.model_dump(include=_POSTED) | {"store": store_uri})
    except (requests.RequestException, ValueError) as error:
        return f"--notify: the message could not be delivered: {_reason(error)}."
    return ""


def register(url: str, store: ModelStore, version: int, name: str) -> str:
    """Register a version in Kubeflow's model registry (REST v1alpha3); return what went wrong, or nothing.

    The registered model `name` is made where there is none; the version is numbered as in the store. One that is
    registered already stays as it is.
    """
    base = url.rstrip("/") + _API
    try:
        manifest = store.manifest(version)
        found = _request("GET", f"{base}/registered_model?name={quote(name)}", missing=True)
        if not found:
            found = _request("POST", f"{base}/registered_models", {"name": name})
        model = str(found["id"])
        query = f"name={quote(str(version))}&parentResourceId={quote(model)}"
        if _request("GET", f"{base}/model_version?{query}", missing=True):
            return ""
        made = _request("POST", f"{base}/model_versions", _version(manifest, model, store))
        artifact = {
            "artifactType": "model-artifact",
            "name": f"{name}-{version}",
            "uri": store.serving_uri(version),
            "modelFormatName": "tensorflow",
            "modelFormatVersion": "2",
        }
        _request("POST", f"{base}/model_versions/{quote(str(made['id']))}/artifacts", artifact)
    except (requests.RequestException, HeadstartError, ValueError, KeyError, TypeError) as error:
        return f"--registry: version {version} could not be registered: {_reason(error)}. It stays in the store."
    return ""


def _version(manifest: Manifest, model: str, store: ModelStore) -> dict[str, Any]:
    values = {
        "data_digest": manifest.data_digest,
        "weights": manifest.weights or "",
        "accuracy": "" if manifest.accuracy is None else f"{manifest.accuracy:.4f}",
        "classes": ", ".join(manifest.classes),
        "store": store.uri,
        "run_id": manifest.run_id,
    }
    return {
        "name": str(manifest.version),
        "registeredModelId": model,
        "description": manifest.reason,
        "customProperties": {
            key: {"metadataType": "MetadataStringValue", "string_value": value} for key, value in values.items()
        },
    }


def _request(method: str, url: str, body: dict[str, Any] | None = None, missing: bool = False) -> dict[str, Any]:
    """Send a request and return the JSON object it is answered with, {} for none or, with `missing`, for 404."""
    with requests.request(method, url, json=body, timeout=SECONDS, allow_redirects=False, stream=True) as response:
        if missing and response.status_code == 404:
            return {}
        response.raise_for_status()
        if response.is_redirect:
            raise ValueError(f"it answers with a redirect ({response.status_code})")
        if "json" not in response.headers.get("Content-Type", ""):
            return {}
        content = response.raw.read(_LONGEST, decode_content=True)
        answer = json.loads(content) if content else {}
        return answer if isinstance(answer, dict) else {}


def _reason(error: Exception) -> str:
    """Say what went wrong without the address, which may hold a secret."""
    if isinstance(error, HeadstartError):
        return error.message.rstrip(".")
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"it answers {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {SECONDS:g} s"
    if isinstance(error, requests.ConnectionError):
        return "it cannot be reached"
    if isinstance(error, KeyError | TypeError):
        return "it answers unlike a model registry"
    if isinstance(error, json.JSONDecodeError):
        return "it answers something other than JSON"
    return str(error) if isinstance(error, ValueError) and "redirect" in str(error) else type(error).__name__
