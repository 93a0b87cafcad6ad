"""Compiles a pipeline into the package that a cluster takes, and looks at what came out."""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from headstart.components.atomic_files import whole_file
from headstart.components.errors import HeadstartError, SettingError
from headstart.pipelines.placement import Placement
from headstart.pipelines.yaml_files import read_documents

PipelineName = Literal["experiment", "curve", "retraining"]
PIPELINES: tuple[PipelineName, ...] = get_args(PipelineName)

# Argo Workflows keeps a run in one Kubernetes object, which may hold 1.5 MiB; past that a run cannot be started.
LARGEST_OBJECT_BYTES = 3 * 512 * 1024


@dataclass(frozen=True)
class Package:
    """A compiled pipeline as read back from its file.

    Attributes:
        path: the file.
        specification: the pipeline's own part (`pipelineInfo`, `root`, `components`, `deploymentSpec`).
        platform_specification: what concerns Kubernetes alone; empty where the package has no such part.
    """

    path: Path
    specification: dict[str, Any]
    platform_specification: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """The package as the API takes it."""
        if not self.platform_specification:
            return self.specification
        return {"pipeline_spec": self.specification, "platform_spec": self.platform_specification}

    @property
    def platform(self) -> dict[str, dict[str, Any]]:
        """What concerns Kubernetes alone, by executor name."""
        kubernetes = self.platform_specification.get("platforms", {}).get("kubernetes", {})
        return dict(kubernetes.get("deploymentSpec", {}).get("executors", {}))

    @property
    def name(self) -> str:
        """The pipeline's name, for example headstart-experiment."""
        return str(self.specification["pipelineInfo"]["name"])

    @property
    def parameters(self) -> dict[str, dict[str, Any]]:
        """The pipeline's parameters by name, each with `parameterType` and, if it has one, `defaultValue`."""
        found = self.specification["root"].get("inputDefinitions", {}).get("parameters", {})
        return dict(found)

    @property
    def executors(self) -> dict[str, dict[str, Any]]:
        """The container of each executor, by name."""
        executors = self.specification["deploymentSpec"]["executors"]
        return {name: executor["container"] for name, executor in executors.items() if "container" in executor}

    @property
    def images(self) -> list[str]:
        """Every image the pipeline runs, sorted."""
        return sorted({str(container["image"]) for container in self.executors.values()})

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Every task and loop, by the name that the cluster knows it by."""
        parts = [self.specification["root"], *self.specification.get("components", {}).values()]
        return {key: task for part in parts for key, task in part.get("dag", {}).get("tasks", {}).items()}

    def mounted_folders(self) -> set[str]:
        """Return where tasks find volumes."""
        claims = [claim for executor in self.platform.values() for claim in executor.get("pvcMount", [])]
        return {str(claim.get("mountPath", "")) for claim in claims}

    def display_names(self) -> dict[str, str]:
        """Return the name for people of each task, by the name that the cluster knows it by."""
        return {key: str(task.get("taskInfo", {}).get("name", key)) for key, task in self.tasks.items()}

    def loops(self) -> list[str]:
        """Return the names by which the cluster knows the pipeline's loops."""
        return [key for key, task in self.tasks.items() if "parameterIterator" in task or "artifactIterator" in task]


def compile_package(name: PipelineName, output: Path, placement: Placement, **build: Any) -> Package:
    """Compile a pipeline into `output`, a YAML file that is whole or not written, and read it back.

    `build` holds further arguments of its builder, such as parallelism.

    Raises:
        SettingError: `output` does not end in .yaml or .yml, or there is no such pipeline.
        HeadstartError: the package would not fit into one Kubernetes object.
    """
    from kfp import compiler

    if output.suffix not in (".yaml", ".yml"):
        raise SettingError(f"{output}: a package is YAML.", "Give a name that ends in .yaml.")
    if name not in PIPELINES:
        raise SettingError(f"There is no pipeline {name!r}.", "There are experiment, curve and retraining.")
    pipeline = getattr(importlib.import_module(f"headstart.pipelines.{name}"), name)(placement, **build)
    with tempfile.TemporaryDirectory(prefix="headstart-package-") as folder, warnings.catch_warnings():
        # kfp warns about its own use of what it has deprecated; what matters is checked in the result.
        warnings.simplefilter("ignore", FutureWarning)
        logging.getLogger("kfp").setLevel(logging.ERROR)
        compiled = Path(folder, "package.yaml")
        compiler.Compiler().compile(pipeline, str(compiled))
        content = compiled.read_bytes()
    if len(content) > LARGEST_OBJECT_BYTES:
        raise HeadstartError(
            f"The package has {len(content):,} bytes; a run must fit into {LARGEST_OBJECT_BYTES:,}.",
            "Make the pipeline's defaults smaller; nothing was written.",
        )
    with whole_file(output) as partial:
        partial.write_bytes(content)
    return read_package(output)


def compile_now(name: PipelineName, placement: Placement, **build: Any) -> Package:
    """Compile a pipeline that is to be sent and not kept: the package's file is gone, what it held is not."""
    with tempfile.TemporaryDirectory(prefix="headstart-package-") as folder:
        return compile_package(name, Path(folder) / f"{name}.yaml", placement, **build)


def write_manifest(package: Package, output: Path) -> str:
    """Write a package as the objects Pipeline and PipelineVersion into `output` and return the version's name.

    They are for a Kubeflow Pipelines that keeps pipelines in the Kubernetes API. A version cannot be changed there, so
    its name holds a digest of what it runs: another package is another version, the same one changes nothing.
    The same form as kfp's `compile(kubernetes_manifest_format=True)`.
    """
    import yaml

    content = json.dumps([package.specification, package.platform_specification], sort_keys=True)
    version = f"{package.name}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"
    description = str(package.specification["pipelineInfo"].get("description") or "")
    title = str(package.specification["pipelineInfo"].get("displayName") or package.name)
    described = {"description": description} if description else {}
    platform = {"platformSpec": package.platform_specification} if package.platform_specification else {}
    specification = {"pipelineName": package.name, "pipelineSpec": package.specification, **platform}
    documents = [
        _object("Pipeline", package.name, {"displayName": title, **described}),
        _object("PipelineVersion", version, {"displayName": version, **specification, **described}),
    ]
    with whole_file(output) as partial:
        partial.write_text(yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")
    return version


def _object(kind: str, name: str, specification: dict[str, Any]) -> dict[str, Any]:
    head = {"apiVersion": "pipelines.kubeflow.org/v2beta1", "kind": kind, "metadata": {"name": name}}
    return {**head, "spec": specification}


def read_package(path: Path) -> Package:
    """Read a compiled pipeline; HeadstartError says what a file that is none lacks."""
    documents = read_documents(path, 2 * LARGEST_OBJECT_BYTES)
    specification = documents[0] if documents else None
    missing = [
        key for key in ("pipelineInfo", "root", "deploymentSpec")
        if not isinstance(specification, dict) or not isinstance(specification.get(key), dict)
    ]  # fmt: skip
    if missing or not isinstance(specification, dict):
        raise HeadstartError(
            f"{path}: not a compiled pipeline; it lacks {', '.join(missing)}.",
            "`headstart compile experiment --output FILE.yaml` writes one.",
        )
    platform = next((document for document in documents[1:] if isinstance(document, dict)), {})
    return Package(path, specification, platform)
