"""Checks of the API of Kubeflow Pipelines: is it there, is it new enough, does it know us?"""

from __future__ import annotations

from typing import Any

from headstart.components.errors import HeadstartError
from headstart.components.preflight.checks import Check
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.answers import Experiments
from headstart.pipelines.submission.connection import Connection


def check_api(connection: Connection, namespace: str) -> list[Check]:
    """Ask the API for its version and for something that only a known user may see."""
    try:
        server = runs.ask_server(connection)
    except HeadstartError as error:
        return [Check("API", "failed", error.message, error.remedy)]
    mode = "several users" if server.multi_user else "one user"
    checks = [Check("API", "passed", f"{connection.host}, for {mode}")]
    if server.too_old:
        checks.append(Check("version", "failed", f"{server.version} cannot collect from loops.",
                            "Upgrade Kubeflow Pipelines to 2.14 or later, best 2.17."))  # fmt: skip
    elif not server.version:
        checks.append(Check("version", "warning", "the server does not know its version.",
                            "See that it is 2.14 or later: older ones refuse to collect from loops."))  # fmt: skip
    else:
        checks.append(Check("version", "passed", f"Kubeflow Pipelines {server.version}"))
    query: dict[str, Any] = {"page_size": 1, **({"namespace": namespace} if server.multi_user else {})}
    try:
        connection.get(f"{runs.API}/experiments", Experiments, **query)
        checks.append(Check("access", "passed", "experiments can be listed"))
    except HeadstartError as error:
        checks.append(Check("access", "failed", error.message, error.remedy))
    return checks
