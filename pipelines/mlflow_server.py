"""The REST API of an MLflow tracking server, as far as an export needs it; MLflow itself need not be installed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests
from pydantic import BaseModel, Field, ValidationError
from urllib3.exceptions import HTTPError

from headstart.components.credentials import hide, masked_address
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.storage import is_remote, write_bytes
from headstart.pipelines.submission.connection import never_leaves

_API = "/api/2.0/mlflow"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
_SECONDS = 60.0
_LARGEST_ANSWER = 64 << 20
# What a server of any version takes at once, and how long a value may be.
_METRICS, _PARAMETERS, _PAGE = 1000, 100, 1000
_LONGEST_PARAMETER, _LONGEST_TAG = 500, 5000


@dataclass(frozen=True)
class Metric:
    """One value: `step` is an epoch, or a number of training images (0: none), `timestamp` milliseconds since 1970."""

    key: str
    value: float
    timestamp: int
    step: int = 0


class Tag(BaseModel):
    """One tag of a run."""

    key: str
    value: str = ""


class RunInfo(BaseModel):
    """What a run is called, and where the server keeps its files."""

    run_id: str
    artifact_uri: str = ""


class RunData(BaseModel):
    """What was logged, as far as an export reads it."""

    tags: list[Tag] = Field(default_factory=list)


class Run(BaseModel):
    """A run as the server describes it."""

    info: RunInfo
    data: RunData = Field(default_factory=RunData)

    def tag(self, key: str) -> str | None:
        """Return the value of a tag; None where the run has none of the name."""
        return next((tag.value for tag in self.data.tags if tag.key == key), None)


class _Nothing(BaseModel):
    pass


class _NewExperiment(BaseModel):
    experiment_id: str


class _Experiment(_NewExperiment):
    lifecycle_stage: str = "active"


class _NamedExperiment(BaseModel):
    experiment: _Experiment | None = None


class _NewRun(BaseModel):
    run: Run


class _Runs(BaseModel):
    runs: list[Run] = Field(default_factory=list)
    next_page_token: str = ""


class _Refusal(BaseModel):
    error_code: str = ""
    message: str = ""


Answer = TypeVar("Answer", bound=BaseModel)


class TrackingServer:
    """A tracking server at an http:// or https:// address.

    Who asks is said by the address (user:password@), or as MLflow has it: MLFLOW_TRACKING_TOKEN, or
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD. SettingError for another address, HeadstartError where
    credentials would cross a network unencrypted.
    """

    def __init__(self, uri: str) -> None:
        try:
            parts = urlsplit(uri)
            sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            sound = False
        if not sound:
            raise SettingError(
                f"--tracking-uri {masked_address(uri)}: expected the http:// or https:// address of a tracking server.",
                "`mlflow server --backend-store-uri URI` serves a folder or a database at http://127.0.0.1:5000.",
            )
        self.uri = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
        self._session = requests.Session()
        user = unquote(parts.username or "") or os.environ.get("MLFLOW_TRACKING_USERNAME", "")
        password = unquote(parts.password or "") or os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
        token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
        for secret in (password, token):
            hide(secret)
        if user:
            self._session.auth = (user, password)
        elif token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        if parts.scheme == "http" and (user or token) and not never_leaves(str(parts.hostname)):
            raise HeadstartError(
                f"{self.uri}: a password or a token would cross the network unencrypted; nothing was sent.",
                "Give --tracking-uri an https:// address, or a port forwarding on this machine.",
            )

    def experiment(self, name: str) -> str:
        """Return the id of the experiment of that name, which is made where there is none."""
        query = {"experiment_name": name}
        found = self._send("GET", f"{_API}/experiments/get-by-name", _NamedExperiment, missing=True, params=query)
        if found.experiment is None:
            return self._post("experiments/create", {"name": name}, _NewExperiment).experiment_id
        if found.experiment.lifecycle_stage == "deleted":
            raise HeadstartError(
                f"--experiment {name}: was deleted on {self.uri}.", "Restore it there, or name another one."
            )
        return found.experiment.experiment_id

    def runs(self, experiment: str, tag: str, value: str) -> Iterator[Run]:
        """Yield the runs of an experiment whose `tag` is `value`; neither may hold quotes."""
        body: dict[str, Any] = {"experiment_ids": [experiment], "filter": f"tags.`{tag}` = '{value}'"}
        body["max_results"] = _PAGE
        while True:
            answer = self._post("runs/search", body, _Runs)
            yield from answer.runs
            if not answer.next_page_token:
                return
            body["page_token"] = answer.next_page_token

    def create_run(self, experiment: str, name: str, start: int, tags: dict[str, str]) -> Run:
        """Make a run."""
        body = {"experiment_id": experiment, "run_name": name, "start_time": start, "tags": _pairs(tags, _LONGEST_TAG)}
        return self._post("runs/create", body, _NewRun).run

    def log(self, run: str, metrics: Sequence[Metric], parameters: dict[str, str] | None = None) -> None:
        """Add metrics and parameters; a value that is there already is not added again."""
        values = [metric.__dict__ for metric in metrics]
        for start in range(0, len(values), _METRICS):
            self._post("runs/log-batch", {"run_id": run, "metrics": values[start : start + _METRICS]})
        pairs = _pairs(parameters or {}, _LONGEST_PARAMETER)
        for start in range(0, len(pairs), _PARAMETERS):
            self._post("runs/log-batch", {"run_id": run, "params": pairs[start : start + _PARAMETERS]})

    def tag(self, run: str, tags: dict[str, str]) -> None:
        """Set tags; those of the same name are replaced."""
        self._post("runs/log-batch", {"run_id": run, "tags": _pairs(tags, _LONGEST_TAG)})

    def finish(self, run: str, status: str, end: int) -> None:
        """Give a run its status (FINISHED or FAILED) and the time at which it ended."""
        self._post("runs/update", {"run_id": run, "status": status, "end_time": end})

    def delete(self, run: str) -> None:
        """Mark a run as deleted; it can be restored until the server's own clean-up."""
        self._post("runs/delete", {"run_id": run})

    def artifacts_problem(self, run: Run) -> str:
        """Say why files cannot be stored with a run; empty: they can."""
        place = run.info.artifact_uri
        parts = urlsplit(place)
        if (parts.scheme == "mlflow-artifacts" and not parts.netloc) or is_remote(place):
            return ""
        return f"the server keeps them in {masked_address(place)} and does not serve them (--serve-artifacts)"

    def put_artifact(self, run: Run, name: str, content: bytes) -> None:
        """Store a file with a run, through the server or straight in the bucket that the server names."""
        place = run.info.artifact_uri
        if is_remote(place):
            write_bytes(f"{place.rstrip('/')}/{name}", content)
            return
        path = "/".join(quote(part, safe="") for part in (*urlsplit(place).path.strip("/").split("/"), name))
        self._send("PUT", f"{_ARTIFACTS}/{path}", _Nothing, data=content)

    def _post(self, call: str, body: dict[str, Any], shape: type[Answer] = _Nothing) -> Answer:  # type: ignore[assignment]
        return self._send("POST", f"{_API}/{call}", shape, json=body)

    def _send(self, method: str, path: str, shape: type[Answer], *, missing: bool = False, **content: Any) -> Answer:
        """Return what a request is answered with; with `missing` also what a 404 of MLflow's own leaves: nothing."""
        try:
            with self._session.request(
                method, self.uri + path, timeout=_SECONDS, allow_redirects=False, stream=True, **content
            ) as response:
                body = response.raw.read(_LARGEST_ANSWER, decode_content=True) or b"{}"
        except (requests.RequestException, HTTPError) as error:
            raise HeadstartError(
                f"{self.uri}: cannot be reached ({type(error).__name__}).",
                "Is the tracking server running? What has arrived is not sent twice when the command is given again.",
            ) from error
        status = response.status_code
        if status in (401, 403):
            raise HeadstartError(
                f"{self.uri}: rejects the credentials (HTTP {status}).",
                "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
            )
        try:
            if status == 200:
                return shape.model_validate_json(body)
            refusal = _Refusal.model_validate_json(body)
        except ValidationError:
            refusal = _Refusal()
        if missing and status == 404 and refusal.error_code:
            return shape()
        why = f": {refusal.message}" if refusal.message else " with something that is not MLflow's"
        raise HeadstartError(
            f"{self.uri}{path}: answers HTTP {status}{why}.", "Is --tracking-uri the address of a tracking server?"
        )


def _pairs(values: dict[str, str], longest: int) -> list[dict[str, str]]:
    return [{"key": key, "value": value[:longest]} for key, value in values.items()]
