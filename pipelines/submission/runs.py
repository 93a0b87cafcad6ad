"""Runs on the API of Kubeflow Pipelines: version, experiments, starting, looking, ending, logs."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from headstart.components.credentials import masked_address
from headstart.components.datasets.left_out import AUTO, NONE
from headstart.components.errors import HeadstartError, SettingError, suggestion
from headstart.components.preflight.parameters import URIS, check_parameters
from headstart.pipelines.packages import Package
from headstart.pipelines.placement import VOLUME_FOLDER
from headstart.pipelines.submission.answers import Experiment, Experiments, Health, Run, Runs
from headstart.pipelines.submission.connection import (
    Connection,
    LostConnectionError,
    NotTheApiError,
    ServiceError,
    UnauthorisedError,
)

API = "/apis/v2beta1"

# The first version whose backend collects from loops (kubeflow/pipelines #11725).
OLDEST_VERSION = (2, 14)

LOG_BYTES = 256 * 1024

FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


class UnknownSubmissionError(HeadstartError):
    """The request to start a run was sent; whether there is a run now is not known."""

    exit_status = 5


@dataclass(frozen=True)
class Server:
    """What the API says about itself; `version` is empty where it does not know."""

    version: str
    multi_user: bool

    @property
    def too_old(self) -> bool:
        """True where the version is known and below 2.14."""
        found = re.match(r"v?(\d+)\.(\d+)", self.version)
        return bool(found) and (int(found[1]), int(found[2])) < OLDEST_VERSION  # type: ignore[index]


def ask_server(connection: Connection) -> Server:
    """Return the version and mode of the API; asks the older path where the newer one is missing."""
    try:
        health = connection.get(f"{API}/healthz", Health)
    except ServiceError as error:
        if error.status != 404:
            raise
        health = connection.get("/apis/v1beta1/healthz", Health)
    if health.get("apiServerReady") is False:
        raise LostConnectionError(
            f"{connection.host}: the UI answers, the API behind it does not.", "See that the pod of ml-pipeline runs."
        )
    # The UI's server, which is in front of the API, answers itself and calls it otherwise.
    version = str(health.get("tag_name") or health.get("apiServerTagName") or "")
    # A build that was not tagged says so with one of these.
    return Server("" if version in ("unknown", "dummy", "dev") else version, bool(health.get("multi_user")))


def namespace_of(connection: Connection, namespace: str) -> str:
    """Return the namespace to ask for, which is empty on a server for one user.

    HeadstartError where the server cannot run our pipelines.
    """
    server = ask_server(connection)
    if server.too_old:
        raise HeadstartError(
            f"{connection.host} runs Kubeflow Pipelines {server.version}; collecting from loops needs 2.14 or later.",
            "Upgrade it (2.17 is what Headstart is made for), or name another --host. Nothing was done.",
        )
    return namespace if server.multi_user else ""


@contextmanager
def nothing_done(what: str) -> Iterator[None]:
    """Say of an API that is lost or refuses before anything has come about that nothing was `what`; status 1 then."""
    try:
        yield
    except (LostConnectionError, UnauthorisedError) as error:
        # Their own status is for a run that goes on.
        raise HeadstartError(f"{error.message} Nothing was {what}.", error.remedy) from error


def typed_parameters(package: Package, pairs: dict[str, str]) -> dict[str, Any]:
    """Turn NAME=VALUE texts into values of the types that the package declares.

    A text stays a text, also where it looks like a number; a list or a mapping is JSON.

    Raises:
        SettingError: an unknown name, a value that does not fit its type, or a parameter without default that is
            not given.
    """
    declared = package.parameters
    values: dict[str, Any] = {}
    for name, text in pairs.items():
        if name not in declared:
            raise SettingError(
                f"{package.name} has no parameter {name!r}.{suggestion(name, declared)}",
                f"It has {', '.join(sorted(declared))}.",
            )
        values[name] = _typed(name, text, str(declared[name]["parameterType"]))
    missing = [
        name for name, what in declared.items()
        if name not in values and "defaultValue" not in what and not what.get("isOptional")
    ]  # fmt: skip
    if missing:
        raise SettingError(f"{package.name} needs {', '.join(missing)}.", "Give each as -p NAME=VALUE.")
    check_parameters(values)
    _check_reachable(package, values)
    return values


def _check_reachable(package: Package, values: dict[str, Any]) -> None:
    """SettingError where a pod would look for data on a disk that it does not have."""
    for name, value in values.items():
        if name not in URIS or not isinstance(value, str) or value.startswith("demo:"):
            continue
        if not value or (value == NONE and name in ("source_data", "intermediate_data")):
            continue
        if value == AUTO == package.parameters[name].get("defaultValue"):
            continue
        scheme, colon, _ = value.partition("://")
        if colon and scheme.lower() != "file":
            continue
        path = unquote(urlsplit(value).path) if colon else value
        if not PurePosixPath(path).is_relative_to(VOLUME_FOLDER) or ".." in PurePosixPath(path).parts:
            raise SettingError(
                f"-p {name}={value}: a path on this machine, which the pods of a cluster do not see.",
                "Put the data into a bucket and name it gs://… or s3://…, or name an https:// address"
                f" or a folder below {VOLUME_FOLDER} of a volume (compile with --volume-claim).",
            )
        if VOLUME_FOLDER not in package.mounted_folders():
            raise SettingError(
                f"-p {name}={value}: the package mounts no volume at {VOLUME_FOLDER}.", "Compile with --volume-claim."
            )


def _typed(name: str, text: str, kind: str) -> Any:
    try:
        if kind == "STRING":
            return text
        if kind == "NUMBER_INTEGER":
            return int(text)
        if kind == "BOOLEAN" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = None
    wanted: dict[str, tuple[type, ...]] = {"NUMBER_DOUBLE": (int, float), "LIST": (list,), "STRUCT": (dict,)}
    if isinstance(value, wanted.get(kind, ())) and not isinstance(value, bool):
        return value
    what, example = _KINDS.get(kind, (f"value of the kind {kind}", "null"))
    raise SettingError(f"-p {name}={masked_address(text)}: not {what}.", f"For example -p {name}={example}")


# What a parameter's type is called, and how one is written for a shell.
_KINDS = {
    "NUMBER_INTEGER": ("a whole number", "3"),
    "NUMBER_DOUBLE": ("a number", "0.5"),
    "BOOLEAN": ("true or false", "true"),
    "LIST": ("a list in JSON, which has double quotes around texts", """'["a", "b"]' or '[1, 2]'"""),
    "STRUCT": ("names with values in JSON, which has double quotes around names and texts", """'{"name": "value"}'"""),
}


def _refuse(text: str) -> Any:
    raise ValueError(text)


def find_or_create_experiment(connection: Connection, name: str, namespace: str = "") -> str:
    """Return the id of the experiment of this name, which is made where there is none."""
    query = {"filter": _equals("display_name", name), "namespace": namespace or None}
    found = connection.get(f"{API}/experiments", Experiments, **query).get("experiments") or []
    if not found:
        body = {"display_name": name, **({"namespace": namespace} if namespace else {})}
        found = [connection.post(f"{API}/experiments", body, Experiment)]
    return _named(connection, found[0].get("experiment_id"), "experiment")


def _named(connection: Connection, identity: str | None, what: str) -> str:
    if not identity:
        raise NotTheApiError(f"{connection.host}: answers with a {what} that has no id.", "Check --host.")
    return identity


def create_run(
    connection: Connection,
    package: Package,
    *,
    name: str,
    experiment_id: str,
    parameters: dict[str, Any],
    pipeline_root: str = "",
    service_account: str = "",
) -> str:
    """Start a run of a package and return its id; see `start_run`."""
    runtime: dict[str, Any] = {"parameters": parameters}
    if pipeline_root:
        runtime["pipeline_root"] = pipeline_root
    body: dict[str, Any] = {
        "display_name": name,
        "experiment_id": experiment_id,
        "pipeline_spec": package.document,
        "runtime_config": runtime,
    }
    if service_account:
        body["service_account"] = service_account
    return start_run(connection, body)


def unique_name(of: str) -> str:
    """Return a name for a run that no other has, so that a run whose answer was lost can be found by it."""
    return f"{of} {datetime.now():%Y-%m-%d %H-%M-%S} {secrets.token_hex(2)}"


def start_run(connection: Connection, body: dict[str, Any]) -> str:
    """Start the run that `body` declares to the API and return its id.

    Where the answer is lost on the way, the run is looked for by its name instead of being started twice; so the name
    must not be used before.

    Raises:
        UnknownSubmissionError: neither the answer came, nor could the run be looked for.
    """
    name = str(body["display_name"])
    try:
        return _named(connection, connection.post(f"{API}/runs", body, Run).get("run_id"), "run")
    except (LostConnectionError, NotTheApiError) as lost:
        connection.pause(2.0)
        query = {"experiment_id": str(body.get("experiment_id") or ""), "filter": _equals("name", name)}
        try:
            found = connection.get(f"{API}/runs", Runs, **query).get("runs") or []
        except HeadstartError:
            raise UnknownSubmissionError(
                f"{lost.message} Whether the run was submitted is not known.",
                f"Look in the UI for a run named {name!r} before submitting again.",
            ) from lost
        if found:
            return _named(connection, found[0].get("run_id"), "run")
        raise


def get_run(connection: Connection, run_id: str) -> Run:
    """Return a run as the API describes it."""
    run = connection.get(f"{API}/runs/{quote(run_id, safe='')}", Run)
    if not run.get("run_id"):
        raise NotTheApiError(f"{connection.host}: answers without a run where one was asked for.", "Check --host.")
    return run


def terminate_run(connection: Connection, run_id: str) -> None:
    """Ask for a run to be ended; it ends some time later, see `state_of`."""
    connection.send(f"{API}/runs/{quote(run_id, safe='')}:terminate")


def read_log(connection: Connection, run_id: str, pod: str, namespace: str) -> str:
    """Return the end of the log of one task's pod, from the pod or from the archive; ServiceError for neither."""
    path = f"/apis/v1alpha1/runs/{quote(run_id, safe='')}/nodes/{quote(pod, safe='')}/log"
    try:
        content = connection.get_bytes(path, largest=LOG_BYTES, tail=True)
    except ServiceError as error:
        if error.status != 404:
            raise
        # The UI's server hands this path of the API to nobody; it reads logs itself.
        content = connection.get_bytes(
            "/k8s/pod/logs", largest=LOG_BYTES, tail=True, podname=pod, podnamespace=namespace, runid=run_id
        )
    return content.decode("utf-8", "replace")


def state_of(run: Run) -> str:
    """Return the state of a run, for example RUNNING; PENDING where the API does not say yet."""
    state = str(run.get("state") or "")
    # 2.17 ends a terminated run as FAILED; only its history says that somebody asked for it.
    if state == "FAILED" and any(entry.get("state") == "CANCELING" for entry in run.get("state_history") or []):
        return "CANCELED"
    return state if state and state != "RUNTIME_STATE_UNSPECIFIED" else "PENDING"


def error_of(run: Run) -> str:
    """Return what the API itself says about why a run ended, or an empty text."""
    errors = [run.get("error"), *(entry.get("error") for entry in reversed(run.get("state_history") or []))]
    for error in errors:
        if error and error.get("message"):
            return str(error["message"])
    return ""


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})
