"""Says why a run did not succeed, in the order in which a person would look: reason, task, end of its log."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from headstart.components.console import Console
from headstart.components.errors import HeadstartError
from headstart.pipelines.packages import Package
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.connection import Connection
from headstart.pipelines.submission.workflow import FailedPod, Workflow

LOG_LINES = 20
_PODS_SHOWN = 3

# What Kubernetes writes, and what it means for us.
_HINTS = (
    ("OOMKilled", "It used more memory than it may: raise --memory, or lower batch_size or image_size."),
    ("ImagePullBackOff", "The image cannot be pulled: check its name, its tag and --image-pull-secret."),
    ("ErrImagePull", "The image cannot be pulled: check its name, its tag and --image-pull-secret."),
    ("InvalidImageName", "The image's name is wrong: compile again with a right --image."),
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


def explain_failure(
    console: Console,
    connection: Connection,
    run: dict[str, Any],
    run_id: str,
    workflow: Workflow | None,
    package: Package | None = None,
) -> None:
    """Print the state, the reason, and for the first pods that failed their message and the tail of their log."""
    state = runs.state_of(run)
    if state == "CANCELED":
        console.print("The run was canceled.", style="yellow bold")
        return
    reason = runs.error_of(run) or (workflow.message if workflow else "")
    console.print(
        Text(f"The run ended as {state}", style="red bold").append(f": {reason}" if reason else "", style="default")
    )
    pods = workflow.failed_pods() if workflow else []
    # A task's own pod says more than the pods that only follow from its failure.
    pods.sort(key=lambda pod: pod.is_driver)
    titles = package.display_names() if package else {}
    for pod in pods[:_PODS_SHOWN]:
        _explain(console, connection, run_id, pod, workflow.namespace if workflow else "", titles)
    if len(pods) > _PODS_SHOWN:
        console.print(f"… and {len(pods) - _PODS_SHOWN} more pods that failed.")
    if not pods:
        console.print(f"The API names no pod that failed; look at {connection.host}/#/runs/details/{run_id}")
        print_hint(console, reason)


def _explain(
    console: Console, connection: Connection, run_id: str, pod: FailedPod, namespace: str, titles: dict[str, str]
) -> None:
    where = f", iteration {pod.iteration}" if pod.iteration is not None else ""
    what = "before it started" if pod.is_driver else ""
    console.print(f"\n{titles.get(pod.task, pod.task)}{where} failed {what}".rstrip(), style="bold")
    console.print(f"  {pod.message}")
    print_hint(console, pod.message)
    try:
        lines = runs.read_log(connection, run_id, pod.pod, namespace).rstrip().splitlines()
    except HeadstartError as error:
        console.print(f"  No log: {error.message}", style="dim")
        return
    if lines:
        console.print(f"  The last {min(len(lines), LOG_LINES)} lines of {pod.pod}:", style="dim")
        for line in lines[-LOG_LINES:]:
            console.print(f"  │ {line}", soft_wrap=True)


def print_hint(console: Console, message: str) -> None:
    """Print what to do about a message of Kubernetes, where it is one that we know."""
    for found, meaning in _HINTS:
        if found.lower() in message.lower():
            console.print(f"  {meaning}", style="yellow")
            return
