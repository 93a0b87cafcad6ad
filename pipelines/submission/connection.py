"""HTTP to the API of Kubeflow Pipelines: where it is, who we are, what to do when it does not answer.

kfp's own client is not used for this: it waits for ever on a canceled run, gives up at the first lost connection and
prints where it should raise. What it sends and receives is the same; the paths are those of the v2beta1 API.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from headstart.components.credentials import hide, masked_address
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.regular_files import read_text
from headstart.components.time_limit import TooLongError, within
from headstart.pipelines.options import COOKIE_VARIABLE, HOST_VARIABLE, TOKEN_VARIABLE
from headstart.pipelines.submission.answers import shape_error
from headstart.pipelines.submission.reading import TooMuchError, read_body

Shape = TypeVar("Shape")

TOKEN_FILE_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"
# Where Kubeflow projects a service account's token into a pod that is to call the API.
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
# An answer that is still coming after this is given up, however it drips.
ANSWER_SECONDS = 300.0
ATTEMPTS = 4
LARGEST_ANSWER = 64 * 2**20
# Of an error's text no more is read.
_LARGEST_ERROR = 64 * 1024
# Statuses that pass: the API is away behind its UI or a gateway, or is overrun.
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


class NotTheApiError(ServiceError):
    """Something answers, but not the way the API of Kubeflow Pipelines does."""


def is_away(error: HeadstartError) -> bool:
    """Say whether an error is one that passes: the API does not answer, or what is before it says that it cannot."""
    return isinstance(error, LostConnectionError) or (isinstance(error, ServiceError) and error.status in _AGAIN)


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
        deadline: when to stop waiting for answers, by `time.monotonic`.

    Raises HeadstartError where a token or a cookie would go unencrypted over a network.
    """

    host: str
    token: Callable[[], str] = field(default=lambda: "")
    cookie: str = ""
    verify: bool | str = True
    certificate: tuple[str, str] | None = None
    deadline: float = math.inf

    def pause(self, seconds: float) -> None:
        """Wait before asking again, not beyond the deadline."""
        time.sleep(max(0.0, min(seconds, self.deadline - time.monotonic())))

    def __post_init__(self) -> None:
        self.session = requests.Session()
        self.session.cert = self.certificate
        hide(self.cookie)
        name = urlsplit(self.host).hostname or ""
        if self.host.startswith("http://") and not never_leaves(name) and (self.cookie or self.token()):
            raise HeadstartError(
                f"{self.host}: a token or a cookie would cross the network unencrypted; nothing was sent.",
                "Give --host an https:// address, or a port forwarding on this machine (http://localhost:8080).",
            )

    def get(self, path: str, shape: type[Shape], **query: Any) -> Shape:
        """Return the JSON that a GET answers; tried again where that can help. NotTheApiError for another shape.

        What is None in `query` is left out.
        """
        return self._json(path, self._request("GET", path, params=query), shape)

    def get_bytes(self, path: str, *, largest: int = LARGEST_ANSWER, tail: bool = False, **query: Any) -> bytes:
        """Return the body that a GET answers, if it has no more than `largest` bytes; with `tail` its last ones."""
        return self._request("GET", path, params=query, largest=largest, tail=tail)

    def post(self, path: str, body: Any, shape: type[Shape], **query: Any) -> Shape:
        """Return the JSON that a POST answers. Never tried again: it may have worked although the answer was lost."""
        return self._json(path, self._request("POST", path, attempts=1, json=body, params=query), shape)

    def send(self, path: str) -> None:
        """Send a POST without a body, and look at nothing but whether it is accepted."""
        self._request("POST", path, attempts=1, json={})

    def delete(self, path: str) -> None:
        """Delete what is at `path`; tried again where that can help. Gone already is as good as deleted."""
        try:
            self._request("DELETE", path)
        except ServiceError as error:
            if error.status != 404:
                raise

    def _request(
        self,
        method: str,
        path: str,
        attempts: int = ATTEMPTS,
        largest: int = LARGEST_ANSWER,
        tail: bool = False,
        **arguments: Any,
    ) -> bytes:
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            token = self.token()
            hide(token)
            headers = {"Accept": "application/json, text/plain, */*", "Accept-Encoding": "identity"}
            headers |= {"Authorization": f"Bearer {token}"} if token else {}
            headers |= {"Cookie": self.cookie} if self.cookie else {}

            def ask(headers: dict[str, str] = headers) -> tuple[requests.Response, bytes]:
                answer = self.session.request(
                    method,
                    self.host + path,
                    headers=headers,
                    timeout=(CONNECT_SECONDS, READ_SECONDS),
                    allow_redirects=False,
                    stream=True,
                    # Said here, or REQUESTS_CA_BUNDLE of the environment would win over a certificate authority.
                    verify=self.verify,
                    **arguments,
                )
                good = answer.status_code < 300
                return answer, read_body(answer, largest if good else _LARGEST_ERROR, tail=tail or not good)

            try:
                answer, body = within(min(ANSWER_SECONDS, self.deadline - time.monotonic()), ask)
            except (requests.ConnectionError, requests.Timeout, HTTPError, TooLongError, OSError) as error:
                if isinstance(error, requests.RequestException) and not isinstance(
                    error, requests.ConnectionError | requests.Timeout
                ):
                    raise HeadstartError(f"{self.host}{path}: {_reason(error)}.", "Check --host.") from error
                if attempt >= attempts or time.monotonic() >= self.deadline:
                    why = "its answer does not come to an end" if isinstance(error, TooLongError) else _reason(error)
                    raise LostConnectionError(
                        f"{self.host} does not answer: {why}.",
                        "Is the address right, and does the port forwarding still run?",
                    ) from error
            except TooMuchError as error:
                raise ServiceError(f"{self.host}{path}: the answer {error}.") from error
            else:
                if answer.status_code == 401 and not renewed and self.token() not in ("", token):
                    renewed = True
                    continue
                if answer.status_code not in _AGAIN or attempt >= attempts:
                    self._check(answer, body, path)
                    return body
            self.pause(min(2.0 ** (attempt - 1), 10.0))

    def _check(self, answer: requests.Response, body: bytes, path: str) -> None:
        status = answer.status_code
        if status < 300:
            return
        if status < 400:
            raise UnauthorisedError(
                f"{self.host} sends us to {answer.headers.get('Location', 'another page')}: it wants a login.",
                f"Give --token or --cookie, or set {TOKEN_VARIABLE} or {COOKIE_VARIABLE}; see docs/cluster.md.",
                status,
            )
        reason = _message(body)
        if status == 401:
            raise UnauthorisedError(
                f"{self.host} does not accept the credentials (HTTP 401){reason}.",
                f"The token is missing or has expired: renew it and give --token or set {TOKEN_VARIABLE}.",
                status,
            )
        if status == 403:
            raise UnauthorisedError(
                f"{self.host} refuses {path} to us (HTTP 403){reason}.",
                "Ask an administrator for that right; where Kubeflow serves several users, is --namespace yours?",
                status,
            )
        raise ServiceError(f"{self.host}{path} answers HTTP {status}{reason}.", "", status)

    def _json(self, path: str, body: bytes, shape: type[Shape]) -> Shape:
        try:
            value = json.loads(body)
            problem = shape_error(value, shape)
        except (ValueError, RecursionError):
            problem = "no JSON"
        if problem:
            raise NotTheApiError(
                f"{self.host}{path}: {problem}; this is not the API of Kubeflow Pipelines.",
                "Give --host the address of ml-pipeline or ml-pipeline-ui.",
                200,
            )
        found: Shape = value
        return found


def _message(body: bytes) -> str:
    """Return what an error answer says: the API puts it into `error` or `message`, proxies write text."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        text = " ".join(body.decode("utf-8", "replace").split())
        return f": {text[:200]}" if text and not text.startswith("<") else ""
    if isinstance(value, dict):
        for key in ("error_message", "message", "error"):
            if isinstance(value.get(key), str) and value[key]:
                return f": {value[key].rstrip('.')}"
    return ""


def never_leaves(name: str) -> bool:
    """Say whether a request to a host of this name stays on this machine or within the cluster that it runs in."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        # A pod reaches the API by the name of its service, as plain http: a network policy guards that, not TLS.
        inside = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
        return inside and name.split(".", maxsplit=1)[0] in ("ml-pipeline", "ml-pipeline-ui")


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
        SettingError: there is no such file of a certificate authority.
        HeadstartError: there is no API to be found.
    """
    if certificate_authority and not Path(certificate_authority).exists():
        raise SettingError(
            f"--certificate-authority {certificate_authority}: there is no such file.",
            "Name a file of certificates in PEM.",
        )
    host = host or os.environ.get(HOST_VARIABLE, "")
    cookie = cookie or os.environ.get(COOKIE_VARIABLE, "")
    verify: bool | str = certificate_authority or True
    if host:
        address = normalised(host)
    elif os.environ.get("KUBERNETES_SERVICE_HOST"):
        address = f"http://ml-pipeline.{namespace}:8888"
    else:
        return _through_kubeconfig(namespace, token)
    return Connection(address, _token_source(token, address), cookie, verify)


def normalised(host: str) -> str:
    """Return a host as a URL: http for this machine, https elsewhere, unless it says; no slash at the end.

    What the browser's address bar shows of the UI (`…/pipeline/?ns=me#/runs`, `…/#/runs`) leads to the address of the
    server that shows it.
    """
    host = host.strip()
    if "://" not in host:
        name = re.split(r"[/?#]", host)[0].rsplit(":", 1)[0]
        host = f"{'http' if name in ('localhost', '127.0.0.1', '[::1]') else 'https'}://{host}"
    try:
        parts = urlsplit(host)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\\]", host):
        raise SettingError(f"--host {masked_address(host)!r} is not a URL.", "For example http://localhost:8080.")
    if "@" in parts.netloc:
        raise SettingError(
            f"--host {masked_address(host)}: a user and a password are not sent to the API.",
            f"Give --token or --cookie, or set {TOKEN_VARIABLE} or {COOKIE_VARIABLE}.",
        )
    path = parts.path.rstrip("/")
    # The page of the central dashboard that frames the UI: the UI is served one part deeper.
    path = re.sub(r"/_/pipeline(/.*)?$", "/pipeline", path)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _token_source(token: str, host: str) -> Callable[[], str]:
    given = token or os.environ.get(TOKEN_VARIABLE, "")
    if given:
        return lambda: given
    file = Path(os.environ.get(TOKEN_FILE_VARIABLE, TOKEN_FILE))
    if file.is_file():
        return lambda: read_text(file, 1 << 20).strip()
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
