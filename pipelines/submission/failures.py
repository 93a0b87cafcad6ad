"""Says why a run did not succeed, in the order in which a person would look: reason, task, end of its log."""

from __future__ import annotations

from rich.text import Text

from headstart.components.console import Console
from headstart.components.errors import HeadstartError
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.answers import Run
from headstart.pipelines.submission.following import Follower
from headstart.pipelines.submission.workflow import FailedPod, is_deadline, meaning_of, run_page

LOG_LINES = 20
_PODS_SHOWN = 3


def explain_failure(console: Console, follower: Follower, run: Run) -> None:
    """Print the state, the reason, and for the first pods that failed their message and the tail of their log.

    A pod that was ended by a time limit while it waited for its image failed for that, as `follower` has seen.
    """
    state, workflow = runs.state_of(run), follower.workflow
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
    for pod in pods[:_PODS_SHOWN]:
        _explain(console, follower, run["run_id"], pod)
    if len(pods) > _PODS_SHOWN:
        console.print(f"… and {len(pods) - _PODS_SHOWN} more pods that failed.")
    if not pods:
        page = run_page(follower.connection.host, run["run_id"])
        look = "look at " if page.startswith("http") else ""
        console.print(f"The API names no pod that failed; {look}{page}")
        _print_hint(console, reason)


def _explain(console: Console, follower: Follower, run_id: str, pod: FailedPod) -> None:
    titles = follower.package.display_names() if follower.package else {}
    title = titles.get(pod.task, pod.task)
    where = f", iteration {pod.iteration + 1}" if pod.iteration is not None else ""
    what = "before it started" if pod.is_driver else ""
    console.print(f"\n{title}{where} failed {what}".rstrip(), style="bold")
    console.print(f"  {pod.message}")
    reason = follower.waited.get(title, "") if is_deadline(pod.message) else ""
    if reason:
        console.print(f"  It waited until then: {reason}")
    _print_hint(console, reason or pod.message)
    namespace = follower.workflow.namespace if follower.workflow else ""
    try:
        lines = runs.read_log(follower.connection, run_id, pod.pod, namespace).rstrip().splitlines()
    except HeadstartError as error:
        console.print(f"  No log: {error.message}", style="dim")
        return
    if lines:
        console.print(f"  The last {min(len(lines), LOG_LINES)} lines of {pod.pod}:", style="dim")
        for line in lines[-LOG_LINES:]:
            console.print(f"  │ {line}", soft_wrap=True)


def _print_hint(console: Console, message: str) -> None:
    """Print what to do about a message of Kubernetes, where it is one that we know."""
    if meaning := meaning_of(message):
        console.print(f"  {meaning}", style="yellow")
