"""Where a task runs: image, accelerators, resources, nodes, limits, identity. Compiled into a package, never guessed.

`place` applies one `Placement` to one task of a pipeline. Three kinds of task are told apart: `training` is timed,
so it is never cached, runs on one kind of node and is the only kind that asks for an accelerator; `data` and
`report` are neither. A fourth, `preflight`, is the first task of a pipeline and asks for next to nothing.

Nothing here reads the environment: the same placement always compiles to the same package.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from headstart.pipelines.restarting import outlast

Kind = Literal["training", "data", "report", "preflight"]

# The tag is the version of Headstart and never `latest`: Kubernetes would pull `latest` at every start, and the
# cache of Kubeflow Pipelines compares the text of an image, so a moved tag would bring back old results.
DEFAULT_IMAGE = "headstart:0.1.0"

# The user of our image. Group 0 owns what must be writable, so any other numeric user works too.
IMAGE_USER = 1000

CREDENTIALS_FOLDER = "/etc/headstart/google"
CREDENTIALS_FILE = "key.json"
VOLUME_FOLDER = "/mnt/headstart"

_LABEL_VALUE = r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?"
_LABEL_KEY = r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"


def _checked_labels(labels: dict[str, str]) -> dict[str, str]:
    for key, value in labels.items():
        if not re.fullmatch(_LABEL_KEY, key):
            raise ValueError(f"{key!r} is not a label's name")
        if not re.fullmatch(_LABEL_VALUE, value):
            raise ValueError(f"{value!r} is not a label's value (at most 63 of A-Z a-z 0-9 _ . -)")
    return labels


Labels = Annotated[dict[str, str], AfterValidator(_checked_labels)]
Processors = Annotated[str, Field(pattern=r"^$|^([0-9]*[.])?[0-9]+m?$")]
Memory = Annotated[str, Field(pattern=r"^$|^[0-9]+(E|Ei|P|Pi|T|Ti|G|Gi|M|Mi|K|Ki)?$")]
Name = Annotated[str, Field(pattern=r"^$|^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Toleration(_Part):
    """One taint that a task tolerates; an empty key with `Exists` stands for every taint."""

    key: str = ""
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str = ""
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = ""

    @classmethod
    def parse(cls, text: str) -> Toleration:
        """Read `key`, `key:Effect`, `key=value` or `key=value:Effect`, the way `kubectl taint` writes a taint."""
        found = re.fullmatch(rf"(?P<key>{_LABEL_KEY})(=(?P<value>{_LABEL_VALUE}))?(:(?P<effect>[A-Za-z]+))?", text)
        if found is None:
            raise ValueError(f"{text!r} is not a toleration; write key, key:NoSchedule or key=value:NoSchedule")
        value = found["value"]
        return cls.model_validate(
            {
                "key": found["key"],
                "operator": "Exists" if value is None else "Equal",
                "value": value or "",
                "effect": found["effect"] or "",
            }
        )


class Resources(_Part):
    """What one kind of task asks for. Limits equal requests unless given, which keeps a timed task's share steady."""

    cpu: Processors = Field("", description="processors requested, for example 2 or 500m; empty asks for none")
    cpu_limit: Processors = Field("", description="most processors it may use; empty: as requested")
    memory: Memory = Field("", description="memory requested, for example 4Gi; empty asks for none")
    memory_limit: Memory = Field("", description="memory at which it is killed; empty: as requested")
    timeout_seconds: int = Field(0, ge=0, description="seconds after which its pod is ended; 0: never")
    node_selector: Labels = Field(default_factory=dict, description="labels a node must have")
    tolerations: list[Toleration] = Field(default_factory=list)

    @field_validator("tolerations", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, list):
            return [Toleration.parse(item) if isinstance(item, str) else item for item in value]
        return value


_REGISTRY = re.compile(
    r"([A-Za-z0-9]+(-+[A-Za-z0-9]+)*(\.[A-Za-z0-9]+(-+[A-Za-z0-9]+)*)*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?"
)
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")


def registry_of(image: str) -> str | None:
    """Return the registry in an image's name, or None: as containerd has it, a first part with a dot or a port."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else None


def image_problem(image: str) -> str:
    """Say what is wrong with an image reference, or return an empty text."""
    if "://" in image:
        return f"has a scheme; an image is named without one: {image.partition('://')[2] or 'REGISTRY/NAME:TAG'}"
    if not image or re.search(r"\s", image) or image != image.strip("/:@"):
        return "is not an image reference"
    name = image.partition("@")[0]
    registry = registry_of(name) or ""
    path = name.removeprefix(f"{registry}/")
    path = path.rpartition(":")[0] or path
    if registry and not _REGISTRY.fullmatch(registry):
        return f"names a registry {registry} that is no host"
    for part in path.split("/"):
        if not _PART.fullmatch(part):
            hint = "; it must be in lower case" if part.lower() != part else ""
            return f"has a part {part!r} that no registry takes{hint}"
    if "@" in image:
        return "" if re.search(r"@sha256:[0-9a-f]{64}$", image) else "has a digest that is not sha256 with 64 digits"
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    if not tag:
        return "has neither tag nor digest, so it would mean `latest`"
    if tag == "latest":
        return "is tagged `latest`, which moves: results could not be traced to what made them"
    return ""


class Placement(_Part):
    """Everything about where tasks run. All of it is optional; the defaults suit an ordinary cluster without GPUs."""

    image: str = Field(DEFAULT_IMAGE, description="image of every task that does not train")
    training_image: str = Field("", description="image of the tasks that train; empty: the same")
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    image_pull_secrets: list[Name] = Field(default_factory=list)

    accelerators: int = Field(0, ge=0, le=16, description="accelerators of each training task")
    pretended_accelerators: bool = Field(
        False, description="nodes only claim to have them (kind): they are asked for, but training uses the processor"
    )
    accelerator_type: str = Field("nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")

    training: Resources = Resources(cpu="2", memory="6Gi", timeout_seconds=24 * 3600)
    data: Resources = Resources(cpu="1", memory="4Gi", timeout_seconds=4 * 3600)
    report: Resources = Resources(cpu="500m", cpu_limit="1", memory="1Gi", timeout_seconds=1800)
    preflight: Resources = Resources(cpu="100m", cpu_limit="1", memory="512Mi", timeout_seconds=900)
    deadline_seconds: int = Field(7 * 86400, ge=0, description="seconds after which a whole run is ended; 0: never")
    retries: int = Field(2, ge=0, le=10, description="times a data or training task is started again after it fell")
    retry_backoff_seconds: int = Field(30, ge=0, le=3600, description="wait before the first of these, then doubled")
    restarts: int = Field(2, ge=0, le=10, description="times a task is started again in its container after a signal")
    storage_wait_seconds: int = Field(
        300, ge=0, le=86400, description="a task waits this long at its end for an object store that does not answer"
    )
    cache_data: bool = Field(True, description="take imported data of an earlier run with the same parameters")

    run_as_user: int = Field(IMAGE_USER, ge=0, description="numeric user; 0: leave it to the cluster (OpenShift)")
    shared_memory: Memory = Field("", description="size of /dev/shm; empty: 1Gi with several accelerators, else 64 MB")
    pod_labels: Labels = Field(default_factory=lambda: {"app.kubernetes.io/part-of": "headstart"})
    google_credentials_secret: Name = Field(
        "", description=f"secret with a service account's {CREDENTIALS_FILE}; empty: Workload Identity or none"
    )
    volume_claim: Name = Field(
        "", description=f"claim mounted at {VOLUME_FOLDER}, for checkpoints, own images, a model store"
    )
    environment: dict[str, str] = Field(default_factory=dict, description="environment variables of every task")

    @field_validator("image", "training_image")
    @classmethod
    def _image(cls, value: str) -> str:
        problem = image_problem(value) if value else ""
        if problem:
            raise ValueError(f"{value!r} {problem}")
        return value

    @model_validator(mode="after")
    def _has_image(self) -> Placement:
        if not self.image:
            raise ValueError("image is empty")
        return self

    @model_validator(mode="after")
    def _waits_within_limits(self) -> Placement:
        for kind in get_args(Kind):
            limit = getattr(self, kind).timeout_seconds
            if 0 < limit <= self.storage_wait_seconds:
                raise ValueError(
                    f"storage_wait_seconds is {self.storage_wait_seconds} and {kind}.timeout_seconds {limit}: the wait "
                    "alone would take all the time that the task has; set storage_wait_seconds to less"
                )
        return self

    @classmethod
    def here(cls, image: str = DEFAULT_IMAGE, accelerators: int = 0) -> Placement:
        """Return the placement for a run on this machine, where requests, limits and pods mean nothing."""
        nothing = Resources()
        return cls(
            image=image,
            accelerators=accelerators,
            training=nothing,
            data=nothing,
            report=nothing,
            preflight=nothing,
            deadline_seconds=0,
            retries=2,
            retry_backoff_seconds=0,
            restarts=0,
            storage_wait_seconds=0,
            cache_data=False,
            run_as_user=0,
            pod_labels={},
        )

    @property
    def accelerators_used(self) -> int:
        """Accelerators that a training task is to find and compute with."""
        return 0 if self.pretended_accelerators else self.accelerators

    def image_for(self, kind: Kind) -> str:
        """Return the image of one kind of task."""
        return self.training_image or self.image if kind == "training" else self.image

    def tolerations_for(self, kind: Kind) -> list[Toleration]:
        """Return what a kind of task tolerates; a task with accelerators also the taint named after their type."""
        tolerations: list[Toleration] = list(getattr(self, kind).tolerations)
        if kind == "training" and self.accelerators and all(t.key != self.accelerator_type for t in tolerations):
            tolerations.append(Toleration(key=self.accelerator_type, effect="NoSchedule"))
        return tolerations


def pipeline_config(placement: Placement) -> Any:
    """Return the `dsl.PipelineConfig` that ends a run which can never end by itself, such as one whose image is bad."""
    from kfp import dsl

    return dsl.PipelineConfig(active_deadline_seconds=placement.deadline_seconds or None)


def place(task: Any, placement: Placement, kind: Kind = "training") -> Any:
    """Apply `placement` to one task (a `kfp.dsl.PipelineTask`) of the given kind and return the task.

    On Kubeflow Pipelines 2.17 as installed, `retries` covers pods that are deleted or evicted, not containers that exit
    with an error: the workflow controller's defaults have the policy OnError, and kfp cannot write another. What ends
    containers otherwise is met within them, by `restarts` and `storage_wait_seconds`.
    """
    from kfp import kubernetes

    resources: Resources = getattr(placement, kind)
    task.set_container_image(placement.image_for(kind))
    task.set_caching_options(enable_caching=kind == "data" and placement.cache_data)
    if placement.retries and kind in ("training", "data"):
        task.set_retry(
            num_retries=placement.retries,
            backoff_duration=f"{placement.retry_backoff_seconds}s",
            backoff_factor=2.0,
            backoff_max_duration=f"{_retry_window(placement, resources)}s",
        )
    _set_resources(task, resources)
    if kind == "training" and placement.accelerators:
        task.set_accelerator_type(placement.accelerator_type).set_accelerator_limit(placement.accelerators)
    outlast(task, placement.restarts, placement.storage_wait_seconds)
    for name, value in placement.environment.items():
        task.set_env_variable(name, value)

    if placement.image_pull_policy != "IfNotPresent":
        kubernetes.set_image_pull_policy(task, placement.image_pull_policy)
    if placement.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, placement.image_pull_secrets)
    for key, value in resources.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for toleration in placement.tolerations_for(kind):
        kubernetes.add_toleration(
            task,
            key=toleration.key or None,
            operator=toleration.operator,
            value=toleration.value or None,
            effect=toleration.effect or None,
        )
    if placement.run_as_user:
        # Kubeflow Pipelines adds the rest of what "restricted" asks for to every container; see docs/cluster.md.
        kubernetes.set_security_context(task, run_as_user=placement.run_as_user, run_as_group=0, run_as_non_root=True)
    if resources.timeout_seconds:
        kubernetes.set_timeout(task, resources.timeout_seconds)
    for key, value in placement.pod_labels.items():
        kubernetes.add_pod_label(task, key, value)
    _mount(task, placement, kind)
    return task


def _retry_window(placement: Placement, resources: Resources) -> int:
    """Return the seconds within which every attempt must end.

    Argo counts them from the start of the first attempt, and ends even a running pod when they are over. kfp's default
    of one hour would cut off any training that takes longer, so all attempts at full length fit in, and the waits.
    """
    attempt = resources.timeout_seconds or placement.deadline_seconds or 30 * 86400
    waits = placement.retry_backoff_seconds * ((1 << placement.retries) - 1)
    return attempt * (placement.retries + 1) + waits


def _set_resources(task: Any, resources: Resources) -> None:
    if resources.cpu:
        task.set_cpu_request(resources.cpu)
    if resources.cpu_limit or resources.cpu:
        task.set_cpu_limit(resources.cpu_limit or resources.cpu)
    if resources.memory:
        task.set_memory_request(resources.memory)
    if resources.memory_limit or resources.memory:
        task.set_memory_limit(resources.memory_limit or resources.memory)


def _mount(task: Any, placement: Placement, kind: Kind) -> None:
    from kfp import kubernetes

    shared_memory = placement.shared_memory or ("1Gi" if placement.accelerators > 1 else "")
    if kind == "training" and shared_memory:
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit=shared_memory)
    if placement.google_credentials_secret:
        kubernetes.use_secret_as_volume(task, placement.google_credentials_secret, CREDENTIALS_FOLDER)
        task.set_env_variable("GOOGLE_APPLICATION_CREDENTIALS", f"{CREDENTIALS_FOLDER}/{CREDENTIALS_FILE}")
    if placement.volume_claim:
        kubernetes.mount_pvc(task, placement.volume_claim, VOLUME_FOLDER)
