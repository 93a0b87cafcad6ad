"""Brings back what a run made: its report and its summary, from object storage or through the UI's server."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headstart.components import storage
from headstart.components.atomic_files import whole_file, write_json
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import read_json, read_regular
from headstart.pipelines.packages import Package
from headstart.pipelines.submission.connection import Connection, ServiceError
from headstart.pipelines.submission.workflow import StoredArtifact, Workflow

_SUFFIXES = {"system.HTML": ".html", "system.Markdown": ".md"}
# What the summary of a report holds; see headstart.components.reporting.
_SUMMARY_FILES = ("summary.json", "runs.csv")
LEDGER = ".headstart-results.json"
"""The SHA-256 of what earlier calls brought into a folder, by name: nothing else in it is replaced."""
_LARGEST_BYTES = 256 * 1024 * 1024


@dataclass
class Download:
    """What came back and what did not, each with where it is or was to be."""

    files: list[Path] = field(default_factory=list)
    missing: list[tuple[str, str]] = field(default_factory=list)


def download_results(
    connection: Connection,
    workflow: Workflow,
    output: Path,
    *,
    package: Package | None = None,
    namespace: str = "",
) -> Download:
    """Write the reports and summaries of a run's tasks into `output`.

    An HTML output becomes <task>.html, a Markdown output <task>.md; an output named `summary` is a folder whose
    summary.json and runs.csv are taken. What cannot be read is listed, not raised: the run itself went well.

    Args:
        connection: the API; through it objects are read that we have no credentials for.
        workflow: the workflow of the run, which names the objects.
        output: folder to write into.
        package: the pipeline that ran; without it outputs are told apart by their names.
        namespace: namespace of the run, which a server with several users wants to know.
    """
    types = _output_types(package) if package else {}
    result = Download()
    for artifact in workflow.artifacts():
        for uri, name in _wanted(artifact, types):
            try:
                content = read_artifact(connection, uri, namespace)
            except Exception as error:
                if name != "runs.csv":
                    result.missing.append((uri, str(error)))
                continue
            if _is_foreign(output, name):
                result.missing.append((uri, f"{output / name} is there and was not brought by Headstart."))
                continue
            with whole_file(output / name) as partial:
                partial.write_bytes(content)
            write_json(output / LEDGER, {**_ledger(output), name: hashlib.sha256(content).hexdigest()})
            result.files.append(output / name)
    return result


def _ledger(output: Path) -> dict[str, str]:
    try:
        found = read_json(output / LEDGER)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_foreign(output: Path, name: str) -> bool:
    """Say whether a file of this name is there that is not, bit for bit, what an earlier call put there."""
    file = output / name
    if not (file.exists() or file.is_symlink()):
        return False
    try:
        return _ledger(output).get(name) != hashlib.sha256(read_regular(file)).hexdigest()
    except OSError:
        return True


def _wanted(artifact: StoredArtifact, types: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    kind = types.get((artifact.task, artifact.name), "")
    if not types:
        kind = {"html": "system.HTML", "markdown": "system.Markdown"}.get(artifact.name, "")
    if kind in _SUFFIXES:
        return [(artifact.uri, f"{file_name(artifact.task)}{_SUFFIXES[kind]}")]
    if artifact.name == "summary":
        return [(f"{artifact.uri.rstrip('/')}/{name}", name) for name in _SUMMARY_FILES]
    return []


def file_name(task: str) -> str:
    """Return the name of a task as that of a file: what a server sends names no folder and no hidden file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", task).strip("-")[:60] or "task"


def _output_types(package: Package) -> dict[tuple[str, str], str]:
    """Return the schema title of each output artifact by task and name."""
    components: dict[str, Any] = package.specification.get("components", {})
    types: dict[tuple[str, str], str] = {}
    for task, description in package.tasks.items():
        component = components.get(description.get("componentRef", {}).get("name"), {})
        for name, output in component.get("outputDefinitions", {}).get("artifacts", {}).items():
            types[task, name] = str(output.get("artifactType", {}).get("schemaTitle", ""))
    return types


def read_artifact(connection: Connection, uri: str, namespace: str, largest: int = _LARGEST_BYTES) -> bytes:
    """Return the content of an artifact, of which no more than `largest` bytes are ever read."""
    if storage.is_remote(uri) and storage.is_configured(uri):
        try:
            return storage.read_bytes(uri, largest)
        except Exception as direct:
            try:
                return _through_ui(connection, uri, namespace, largest)
            except HeadstartError as error:
                raise HeadstartError(f"{direct}; and through the UI: {error.message}") from error
    return _through_ui(connection, uri, namespace, largest)


def _through_ui(connection: Connection, uri: str, namespace: str, largest: int) -> bytes:
    """Read an object through the UI's server, which has the credentials of the cluster's object store."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    source = {"gs": "gcs"}.get(scheme, scheme)
    try:
        path = f"/artifacts/{source}/{quote(bucket)}/{quote(key)}"
        return connection.get_bytes(path, largest=largest, namespace=namespace or None)
    except ServiceError as error:
        if error.status == 404:
            raise HeadstartError(
                "the server has no such object, or is the bare API without the UI that hands objects out; "
                "give --host the address of ml-pipeline-ui"
            ) from error
        raise
