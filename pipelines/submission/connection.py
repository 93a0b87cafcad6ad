"""HTTP to the API of Kubeflow Pipelines: where it is, who we are, what to do when it does not answer.

kfp's own client is not used for this: it waits for ever on a canceled run, gives up at the first lost connection and
prints where it should raise. What it sends and receives is the same; the paths are those of the v2beta1 API.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from headstart.components.errors import HeadstartError

# The name that kfp's own client reads.
HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"
TOKEN_VARIABLE = "KF_PIPELINES_TOKEN"
COOKIE_VARIABLE = "KF_PIPELINES_COOKIE"
TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
# Where Kubeflow projects a service account's token into a pod that is to call the API.
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
ATTEMPTS = 4
_AGAIN = {429, 500, 502, 503, 504}


class ServiceError(HeadstartError):
    """The API answered that it cannot or will not; `status` is HTTP's."""

    def __init__(self, message: str, remedy: str = "", status: int = 0) -> None:
        super().__init__(message, remedy)
        self.status = status


class LostConnectionError(HeadstartError):
    """The API does not answer; whether a run goes on is unknown."""

    exit_status = 5


class UnauthorisedError(ServiceError):
    """The API does not accept who we say we are; a token that was good may have expired."""

    exit_status = 5


@dataclass
class Connection:
    """One API of Kubeflow Pipelines.

    Attributes:
        host: URL without a slash at its end; paths such as /apis/v2beta1/runs are put behind it.
        token: returns the bearer token to use now, or an empty text. It is asked before every request, so that a
            token that is renewed on disk is taken up.
        cookie: value of the Cookie header, for a Kubeflow platform behind its own login; empty: none.
        verify: False, True, or the file of a certificate authority.
        certificate: client certificate and key files, or None.
    """

    host: str
    token: Callable[[], str] = field(default=lambda: "")
    cookie: str = ""
    verify: bool | str = True
    certificate: tuple[str, str] | None = None

    def pause(self, seconds: float) -> None:
        """Wait before asking again."""
        time.sleep(seconds)

    def __post_init__(self) -> None:
        self.session = requests.Session()
        self.session.cert = self.certificate

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON that a GET answers; tried again where that can help."""
        return self._json(self._request("GET", path, params=query))

    def get_bytes(self, path: str, **query: Any) -> bytes:
        """Return the body that a GET answers."""
        return self._request("GET", path, params=query).content

    def post(self, path: str, body: Any, **query: Any) -> Any:
        """Return the JSON that a POST answers. Never tried again: it may have worked although the answer was lost."""
        return self._json(self._request("POST", path, attempts=1, json=body, params=query))

    def delete(self, path: str) -> None:
        """Delete what is at `path`; tried again where that can help. Gone already is as good as deleted."""
        try:
            self._request("DELETE", path)
        except ServiceError as error:
            if error.status != 404:
                raise

    def _request(self, method: str, path: str, attempts: int = ATTEMPTS, **arguments: Any) -> requests.Response:
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            token = self.token()
            try:
                answer = self.session.request(
                    method,
                    self.host + path,
                    headers=self._headers(token),
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    allow_redirects=False,
                    # Said here, or REQUESTS_CA_BUNDLE of the environment would win over a certificate authority.
                    verify=self.verify,
                    **arguments,
                )
            except (requests.ConnectionError, requests.Timeout) as error:
                if attempt >= attempts:
                    raise LostConnectionError(
                        f"{self.host} does not answer: {_reason(error)}.",
                        "Is the address right, and does the port forwarding still run?",
                    ) from error
            except requests.RequestException as error:
                raise HeadstartError(f"{self.host}{path}: {_reason(error)}.", "Check --host.") from error
            else:
                if answer.status_code == 401 and not renewed and self.token() not in ("", token):
                    renewed = True
                    continue
                if answer.status_code not in _AGAIN or attempt >= attempts:
                    return self._checked(answer, path)
            self.pause(min(2.0 ** (attempt - 1), 10.0))

    def _headers(self, token: str) -> dict[str, str]:
        headers = {"Accept": "application/json, text/plain, */*"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.cookie:
            headers["Cookie"] = self.cookie
        return headers

    def _checked(self, answer: requests.Response, path: str) -> requests.Response:
        status = answer.status_code
        if status < 300:
            return answer
        if status < 400:
            raise UnauthorisedError(
                f"{self.host} sends us to {answer.headers.get('Location', 'another page')}: it wants a login.",
                f"Give --token, or set {TOKEN_VARIABLE} or {COOKIE_VARIABLE}; see docs/cluster.md.",
                status,
            )
        said = _message(answer)
        if status == 401:
            raise UnauthorisedError(
                f"{self.host} does not know us (HTTP 401){said}.",
                f"The token is missing or has expired: renew it and give --token or set {TOKEN_VARIABLE}.",
                status,
            )
        if status == 403:
            raise UnauthorisedError(
                f"{self.host} refuses {path} to us (HTTP 403){said}.",
                "Ask for the rights that docs/cluster.md lists.",
                status,
            )
        raise ServiceError(f"{self.host}{path} answers HTTP {status}{said}.", "", status)

    def _json(self, answer: requests.Response) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            kind = answer.headers.get("Content-Type", "no type")
            raise ServiceError(
                f"{self.host} answers with {kind} where JSON was expected; this is not the API of Kubeflow Pipelines.",
                "Give --host the address of ml-pipeline or ml-pipeline-ui.",
                answer.status_code,
            ) from error


def _message(answer: requests.Response) -> str:
    """Return what an error answer says: the API puts it into `error` or `message`, proxies write text."""
    try:
        body = answer.json()
    except ValueError:
        text = " ".join(answer.text.split())
        return f": {text[:200]}" if text and not text.startswith("<") else ""
    if isinstance(body, dict):
        for key in ("error_message", "message", "error"):
            if isinstance(body.get(key), str) and body[key]:
                return f": {body[key].rstrip('.')}"
    return ""


def _reason(error: Exception) -> str:
    """Shorten what requests and urllib3 wrap into each other to its last part."""
    inner: Any = error.args[0] if error.args else error
    reason = getattr(inner, "reason", inner)
    return str(reason).rsplit(": ", 1)[-1].strip(" ()'\"") or type(error).__name__


def connect(
    host: str = "",
    *,
    namespace: str = "kubeflow",
    token: str = "",
    cookie: str = "",
    certificate_authority: str = "",
) -> Connection:
    """Find the API and how to speak to it.

    Looked for in this order: `host`, the environment variable that kfp reads, the service in the cluster that we are
    in, and the cluster of the current kubeconfig, through its own proxy.

    Raises:
        HeadstartError: there is none to be found.
    """
    host = host or os.environ.get(HOST_VARIABLE, "")
    cookie = cookie or os.environ.get(COOKIE_VARIABLE, "")
    verify: bool | str = certificate_authority or True
    if host:
        address = normalised(host)
        return Connection(address, _token_source(token, address), cookie, verify)
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        address = f"http://ml-pipeline.{namespace}:8888"
        return Connection(address, _token_source(token, address), cookie, verify)
    return _through_kubeconfig(namespace, token)


def normalised(host: str) -> str:
    """Return a host as a URL: http for this machine, https elsewhere, unless it says; no slash at the end."""
    host = host.strip().rstrip("/")
    if "://" not in host:
        name = host.split("/")[0].rsplit(":", 1)[0]
        host = f"{'http' if name in ('localhost', '127.0.0.1', '[::1]') else 'https'}://{host}"
    parts = urlsplit(host)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise HeadstartError(f"--host {host!r} is not a URL.", "For example http://localhost:8080.")
    # The address bar of the UI shows a fragment that is no part of the address.
    return host.split("#")[0].rstrip("/")


def _token_source(token: str, host: str) -> Callable[[], str]:
    given = token or os.environ.get(TOKEN_VARIABLE, "")
    if given:
        return lambda: given
    file = Path(os.environ.get(TOKEN_FILE_VARIABLE, TOKEN_FILE))
    if file.is_file():
        return lambda: file.read_text(encoding="utf-8").strip()
    if (urlsplit(host).hostname or "").endswith(".googleusercontent.com"):
        return _google_token
    return lambda: ""


def _google_token() -> str:
    import google.auth
    import google.auth.transport.requests

    try:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
        credentials.refresh(google.auth.transport.requests.Request())
    except google.auth.exceptions.GoogleAuthError as error:
        raise HeadstartError(
            f"No Google credentials: {error}", "Run `gcloud auth application-default login`."
        ) from error
    return str(credentials.token)


def _through_kubeconfig(namespace: str, token: str) -> Connection:
    from kubernetes import client, config

    configuration = client.Configuration()
    try:
        config.load_kube_config(client_configuration=configuration)
    except Exception as error:
        raise HeadstartError(
            f"No --host, no {HOST_VARIABLE}, and no usable kubeconfig ({error}).",
            "Start `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80` and give --host http://localhost:8080.",
        ) from error

    def bearer() -> str:
        if token:
            return token
        # Runs the hook that renews tokens of clusters such as GKE.
        text = configuration.get_api_key_with_prefix("authorization") or ""
        return str(text).removeprefix("Bearer ")

    verify: bool | str = configuration.ssl_ca_cert or configuration.verify_ssl
    pair = (configuration.cert_file, configuration.key_file)
    address = f"{configuration.host}/api/v1/namespaces/{namespace}/services/http:ml-pipeline-ui:80/proxy"
    return Connection(address, bearer, "", verify, pair if all(pair) else None)
