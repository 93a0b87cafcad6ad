"""`headstart check`: say what would stop a run on a cluster, before it starts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from headstart.components.console import Console
from headstart.components.errors import HeadstartError
from headstart.components.preflight.checks import Check
from headstart.pipelines.json_output import Checked, CheckLine, json_option, print_json
from headstart.pipelines.options import connection_options
from headstart.pipelines.placement_options import placement_options, read_placement
from headstart.pipelines.readiness.cluster import Cluster, NotAllowedError
from headstart.pipelines.readiness.namespace_checks import (
    check_limit_ranges,
    check_namespace,
    check_objects,
    check_quota,
    check_service_account,
    registries_with_secret,
)
from headstart.pipelines.readiness.node_checks import check_images, check_nodes
from headstart.pipelines.readiness.platform_checks import check_api, check_platform, check_retries, check_storage
from headstart.pipelines.submission.connection import connect

_SIGNS = {
    "passed": Text("✓", style="green"),
    "warning": Text("!", style="yellow"),
    "failed": Text("✗", style="red"),
}


@click.command()
@connection_options
@click.option("--context", default="", help="Context of the kubeconfig.  [default: the current one]")
@click.option("--service-account", default="pipeline-runner", show_default=True, help="Service account of the pods.")
@click.option("--pipeline-root", default="", metavar="URI", help="Where artifacts go.  [default: the server's]")
@click.option("--parallelism", type=click.IntRange(1, 100), default=1, show_default=True, help="As in compile.")
@placement_options
@json_option
def command(
    address: dict[str, str],
    context: str,
    service_account: str,
    pipeline_root: str,
    parallelism: int,
    placement: dict[str, Any],
    as_json: bool,
) -> int:
    """Say what would stop a run on a cluster: API, rights, quota, nodes, accelerators, image, storage.

    Give it the placement that the pipeline will be compiled with. Exit status: 0 if nothing would stop the run (there
    may be warnings), 1 if something would. It changes nothing on the cluster.
    """
    where, namespace = read_placement(**placement), address["namespace"]
    checks: list[Check] = []
    try:
        checks += check_api(connect(**address), namespace)
    except HeadstartError as error:
        checks.append(Check("API", "failed", error.message, error.remedy))
    try:
        cluster = Cluster.from_kubeconfig(context)
    except HeadstartError as error:
        checks.append(Check("cluster", "warning", f"not looked at: {error.message.rstrip('.')}.", error.remedy))
    else:
        checks += _cluster_checks(cluster, namespace, service_account, pipeline_root, parallelism, where)
    ready = not any(check.outcome == "failed" for check in checks)
    if as_json:
        print_json(Checked(ready=ready, checks=[CheckLine(**asdict(check)) for check in checks]))
    else:
        show_checks(Console(), checks)
    return 0 if ready else 1


def _cluster_checks(
    cluster: Cluster, namespace: str, account: str, root: str, parallelism: int, where: Any
) -> list[Check]:
    first = _guarded("namespace", lambda: check_namespace(cluster, namespace, where))
    if first[0].outcome == "failed":
        return first
    registries: set[str] | None = None
    with contextlib.suppress(HeadstartError):
        registries = registries_with_secret(cluster, namespace, account, where)
    steps: list[tuple[str, Callable[[], list[Check]]]] = [
        ("service account", lambda: check_service_account(cluster, namespace, account)),
        ("platform", lambda: check_platform(cluster, namespace)),
        ("retries", lambda: check_retries(cluster, namespace, where)),
        ("nodes", lambda: check_nodes(cluster, where)),
        ("quota", lambda: check_quota(cluster, namespace, where)),
        ("LimitRange", lambda: check_limit_ranges(cluster, namespace, where)),
        ("image", lambda: check_images(cluster, where, registries)),
        ("objects", lambda: check_objects(cluster, namespace, where, parallelism)),
        ("storage", lambda: check_storage(cluster, namespace, account, root, where)),
    ]
    return first + [check for name, step in steps for check in _guarded(name, step)]


def _guarded(name: str, step: Callable[[], list[Check]]) -> list[Check]:
    """Turn what keeps one check from its answer into a line of its own, so that the others still speak."""
    try:
        return step()
    except NotAllowedError as error:
        return [Check(name, "warning", f"not allowed to look ({error.message}).", "Ask an administrator.")]
    except HeadstartError as error:
        return [Check(name, "failed", error.message, error.remedy)]
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        return [Check(name, "failed", f"the cluster answers in another shape than Kubernetes does ({error}).",
                      "Is the kubeconfig's server the API of a Kubernetes cluster?")]  # fmt: skip


def show_checks(console: Console, checks: list[Check]) -> None:
    """Print a line for each check, below it what to do, and a summary."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for check in checks:
        text = Text(check.found)
        if check.outcome != "passed" and check.remedy:
            text.append(f"\n{check.remedy}", style="dim")
        table.add_row(_SIGNS[check.outcome], check.name, text)
    console.print(table)
    failed = sum(check.outcome == "failed" for check in checks)
    warnings = sum(check.outcome == "warning" for check in checks)
    verdict = "Nothing was found that would stop a run" if not failed else f"{failed} would stop a run"
    console.print(f"\n{verdict}" + (f"; {warnings} to look at." if warnings else "."), style="bold")
