"""What Kubernetes and Argo write about a pod that waits or failed, and what that means for a run."""

from __future__ import annotations

from urllib.parse import urlsplit

_MEANINGS = (
    ("OOMKilled", "It used more memory than it may: raise --memory, or lower batch_size or image_size."),
    ("InvalidImageName", "The image's name is wrong: compile again with a right --image."),
    ("ImagePullBackOff", "The image cannot be pulled: check its name, its tag and --image-pull-secret."),
    ("ErrImagePull", "The image cannot be pulled: check its name, its tag and --image-pull-secret."),
    ("ErrImageNeverPull", "The image is not on the node and must not be pulled: load it, or --image-pull-policy."),
    ("CreateContainerConfigError", "A secret, key or volume that the pod names is not there: see `headstart check`."),
    ("Unschedulable", "No node can take it now: `headstart check` says what is missing where."),
    (
        "DeadlineExceeded",
        "It took longer than its time limit: see timeout_seconds and deadline_seconds of a placement.",
    ),
    ("active on the node longer than", "It took longer than its time limit: see timeout_seconds of a placement."),
    ("Step exceeded its deadline", "The run took longer than deadline_seconds of its placement."),
    ("exceeded quota", "The namespace's quota is used up: wait, or ask for less."),
    ("violates PodSecurity", "The namespace admits restricted pods only: keep run_as_user in the placement."),
    ("runAsNonRoot", "The namespace admits no root: keep run_as_user in the placement."),
    ("pod deleted", "The pod was removed while it ran: the node was taken away or drained."),
    ("evicted", "The node ran short of memory or disk: ask for more, or use larger nodes."),
)
_DEADLINES = ("DeadlineExceeded", "active on the node longer than", "Step exceeded its deadline", "deadline")
# What a pod says while it starts in good order.
_STARTING = ("PodInitializing", "ContainerCreating")


def meaning_of(message: str) -> str:
    """Return what to do about a message, or an empty text for one that is not known."""
    return next((meaning for found, meaning in _MEANINGS if found.lower() in message.lower()), "")


def is_deadline(message: str) -> bool:
    """Say whether a message only tells that time ran out, which another reason may lie behind."""
    return any(found.lower() in message.lower() for found in _DEADLINES)


def is_waiting(message: str) -> bool:
    """Say whether the message of a pending pod names something that it waits for."""
    return bool(message) and message not in _STARTING


def run_page(host: str, run_id: str) -> str:
    """Say where the page of a run is: an address to open, unless only pods or Kubernetes' API can reach `host`."""
    name = urlsplit(host).hostname or ""
    page = f"/#/runs/details/{run_id}"
    # Inside a cluster the address is http://ml-pipeline.NAMESPACE:8888, see `connect`.
    service = name.split(".", maxsplit=1)[0] in ("ml-pipeline", "ml-pipeline-ui")
    inside = service or name.endswith((".svc", ".svc.cluster.local"))
    if inside or host.endswith("/proxy"):
        return f"its page is {page} at the address of Kubeflow Pipelines' own page"
    return host + page
