"""Runs on the API of Kubeflow Pipelines: version, experiments, starting, looking, ending, logs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.preflight.parameters import check_parameters
from headstart.pipelines.packages import Package
from headstart.pipelines.submission.connection import Connection, LostConnectionError, ServiceError

API = "/apis/v2beta1"

# The first version whose backend collects from loops (kubeflow/pipelines #11725).
OLDEST_VERSION = (2, 14)

FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")


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
        said = connection.get(f"{API}/healthz")
    except ServiceError as error:
        if error.status != 404:
            raise
        said = connection.get("/apis/v1beta1/healthz")
    if not isinstance(said, dict):
        raise ServiceError(f"{connection.host}: healthz is no JSON object.", "Check --host.")
    if said.get("apiServerReady") is False:
        raise LostConnectionError(
            f"{connection.host}: the UI answers, the API behind it does not.", "See that the pod of ml-pipeline runs."
        )
    # The UI's server, which stands before the API, answers itself and calls it otherwise.
    version = str(said.get("tag_name") or said.get("apiServerTagName") or "")
    # A build that was not tagged says so with one of these.
    return Server("" if version in ("unknown", "dummy", "dev") else version, bool(said.get("multi_user")))


def require_version(server: Server, host: str) -> None:
    """HeadstartError where the server cannot run our pipelines."""
    if server.too_old:
        raise HeadstartError(
            f"{host} runs Kubeflow Pipelines {server.version}; collecting from loops needs 2.14 or later.",
            "Upgrade it (2.17 is what Headstart is made for), or name another --host. Nothing was submitted.",
        )


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
            raise SettingError(f"{package.name} has no parameter {name!r}.", f"It has {', '.join(sorted(declared))}.")
        values[name] = _typed(name, text, str(declared[name]["parameterType"]))
    missing = [
        name for name, what in declared.items()
        if name not in values and "defaultValue" not in what and not what.get("isOptional")
    ]  # fmt: skip
    if missing:
        raise SettingError(f"{package.name} needs {', '.join(missing)}.", "Give each as -p NAME=VALUE.")
    check_parameters(values)
    return values


def _typed(name: str, text: str, kind: str) -> Any:
    try:
        if kind == "STRING":
            return text
        if kind == "NUMBER_INTEGER":
            return int(text)
        if kind == "BOOLEAN" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        value = json.loads(text, parse_constant=_refuse)
    except ValueError:
        value = None
    wanted: dict[str, tuple[type, ...]] = {"NUMBER_DOUBLE": (int, float), "LIST": (list,), "STRUCT": (dict,)}
    if isinstance(value, wanted.get(kind, ())) and not isinstance(value, bool):
        return value
    example = {"NUMBER_INTEGER": "3", "NUMBER_DOUBLE": "0.5", "BOOLEAN": "true", "LIST": "'[1, 2]'", "STRUCT": "'{}'"}
    raise SettingError(
        f"-p {name}={text}: not a {kind.lower().replace('_', ' ')}.", f"For example {example.get(kind)}."
    )


def _refuse(text: str) -> Any:
    raise ValueError(text)


def find_or_create_experiment(connection: Connection, name: str, namespace: str = "") -> str:
    """Return the id of the experiment of this name, which is made where there is none."""
    query: dict[str, Any] = {"filter": _equals("display_name", name)}
    if namespace:
        query["namespace"] = namespace
    found = connection.get(f"{API}/experiments", **query).get("experiments") or []
    if found:
        return str(found[0]["experiment_id"])
    body = {"display_name": name, **({"namespace": namespace} if namespace else {})}
    return str(connection.post(f"{API}/experiments", body)["experiment_id"])


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
    """Start a run and return its id.

    Where the answer is lost on the way, the run is looked for by its name instead of being started twice; so `name`
    must not be used before.
    """
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
    try:
        return str(connection.post(f"{API}/runs", body)["run_id"])
    except LostConnectionError:
        connection.pause(2.0)
        runs = (
            connection.get(f"{API}/runs", experiment_id=experiment_id, filter=_equals("name", name)).get("runs") or []
        )
        if runs:
            return str(runs[0]["run_id"])
        raise


def get_run(connection: Connection, run_id: str) -> dict[str, Any]:
    """Return a run as the API describes it."""
    run: dict[str, Any] = connection.get(f"{API}/runs/{run_id}")
    return run


def read_log(connection: Connection, run_id: str, pod: str, namespace: str) -> str:
    """Return the log of one task's pod, from the pod or from the archive; ServiceError where neither has it."""
    try:
        content = connection.get_bytes(f"/apis/v1alpha1/runs/{run_id}/nodes/{pod}/log")
    except ServiceError as error:
        if error.status != 404:
            raise
        # The UI's server hands this path of the API to nobody; it reads logs itself.
        content = connection.get_bytes("/k8s/pod/logs", podname=pod, podnamespace=namespace, runid=run_id)
    return content.decode("utf-8", "replace")


def state_of(run: dict[str, Any]) -> str:
    """Return the state of a run, for example RUNNING; PENDING where the API does not say yet."""
    state = str(run.get("state") or "")
    # 2.17 ends a terminated run as FAILED; only its history says that somebody asked for it.
    if state == "FAILED" and any(entry.get("state") == "CANCELING" for entry in run.get("state_history") or []):
        return "CANCELED"
    return state if state and state != "RUNTIME_STATE_UNSPECIFIED" else "PENDING"


def error_of(run: dict[str, Any]) -> str:
    """Return what the API itself says about why a run ended, or an empty text."""
    errors = [run.get("error"), *(entry.get("error") for entry in reversed(run.get("state_history") or []))]
    for error in errors:
        if isinstance(error, dict) and error.get("message"):
            return str(error["message"])
    return ""


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": key, "stringValue": value}]})
