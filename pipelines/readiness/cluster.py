"""What the checks ask a Kubernetes cluster, as plain dictionaries; one place that knows the client library."""

from __future__ import annotations

from typing import Any

from headstart.components.errors import HeadstartError


class NotAllowedError(HeadstartError):
    """We may not look at something; that says nothing about the run."""


class Cluster:
    """Reads objects of a cluster; every answer is the object's JSON."""

    def __init__(self, api_client: Any) -> None:
        self._client = api_client

    @classmethod
    def from_kubeconfig(cls, context: str = "") -> Cluster:
        """Use the kubeconfig's current or named context, or the service account of the pod that we are in.

        Raises:
            HeadstartError: there is neither.
        """
        from kubernetes import client, config

        configuration = client.Configuration()
        try:
            try:
                config.load_kube_config(context=context or None, client_configuration=configuration)
            except config.ConfigException:
                if context:
                    raise
                config.load_incluster_config(client_configuration=configuration)
        except Exception as error:
            raise HeadstartError(
                f"no usable kubeconfig: {error}", "Set KUBECONFIG, or give --context a context of it."
            ) from error
        # A cluster that is away should be said to be away within seconds.
        configuration.retries = 1
        return cls(client.ApiClient(configuration))

    @property
    def host(self) -> str:
        """The address of the cluster's API."""
        return str(self._client.configuration.host)

    def get(self, path: str, **query: Any) -> dict[str, Any] | None:
        """Return the object or list at a path, or None where there is none.

        Raises:
            NotAllowedError: we may not read it.
            HeadstartError: the cluster does not answer, or answers with an error.
        """
        return self._call("GET", path, query=query)

    def items(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return all items of a list, page by page."""
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self.get(path, limit=500, **({"continue": token} if token else {}), **query) or {}
            found += page.get("items") or []
            token = str((page.get("metadata") or {}).get("continue") or "")
            if not token:
                return found

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object and return what the cluster makes of it."""
        return self._call("POST", path, body=body) or {}

    def _call(
        self, method: str, path: str, query: dict[str, Any] | None = None, body: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = self._client.call_api(
                path, method,
                query_params=list((query or {}).items()), body=body,
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                auth_settings=["BearerToken"], response_type="object", _return_http_data_only=True,
                _request_timeout=(10, 30),
            )  # fmt: skip
        except ApiException as error:
            if error.status == 404:
                return None
            if error.status in (401, 403):
                raise NotAllowedError(f"HTTP {error.status} for {path}") from error
            raise HeadstartError(f"{self.host}{path} answers HTTP {error.status}: {error.reason}.") from error
        except (HTTPError, OSError) as error:
            raise HeadstartError(
                f"{self.host} does not answer.", "Is the cluster up and the kubeconfig right?"
            ) from error
        return answer if isinstance(answer, dict) else None
