"""Every field of a placement changes the compiled package of a pipeline with one task of each kind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from kfp import compiler, dsl

from headstart.pipelines.placement import Kind, Placement, Resources, pipeline_config, place

# The field's other value, and what must be set beside it.
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "image": ("registry.example/other:1", {}),
    "training_image": ("registry.example/gpu:1", {}),
    "image_pull_policy": ("Always", {}),
    "image_pull_secrets": (["pull"], {}),
    "accelerators": (2, {}),
    "pretended_accelerators": (True, {"accelerators": 1}),
    "accelerator_type": ("amd.com/gpu", {"accelerators": 1}),
    "deadline_seconds": (60, {}),
    "retries": (5, {}),
    "retry_backoff_seconds": (99, {}),
    "restarts": (5, {}),
    "storage_wait_seconds": (3, {}),
    "cache_data": (False, {}),
    "run_as_user": (0, {}),
    "shared_memory": ("2Gi", {}),
    "pod_labels": ({"team": "vision"}, {}),
    "google_credentials_secret": ("account", {}),
    "volume_claim": ("images", {}),
    "environment": ({"NAME": "value"}, {}),
}
RESOURCES: dict[str, Any] = {
    "cpu": "3",
    "cpu_limit": "5",
    "memory": "7Gi",
    "memory_limit": "9Gi",
    "timeout_seconds": 777,
    "node_selector": {"disk": "fast"},
    "tolerations": ["dedicated=x:NoSchedule"],
}


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[[Placement], str]:
    """Return a function that compiles the pipeline for a placement and returns the text of the package."""

    @dsl.component
    def task(accelerators: int) -> None:
        pass

    def package(placement: Placement) -> str:
        @dsl.pipeline(name="placed", pipeline_config=pipeline_config(placement))
        def pipeline() -> None:
            for kind in get_args(Kind):
                place(task(accelerators=placement.accelerators_used), placement, kind)

        compiler.Compiler().compile(pipeline, str(tmp_path / "package.yaml"))
        return (tmp_path / "package.yaml").read_text()

    return package


def test_every_field_has_a_case() -> None:
    assert {*Placement.model_fields} == {*CASES, *get_args(Kind)}
    assert {*Resources.model_fields} == {*RESOURCES}


@pytest.mark.parametrize("name", CASES)
def test_a_field_changes_the_package(name: str, compiled: Callable[[Placement], str]) -> None:
    value, beside = CASES[name]
    before = compiled(Placement(**beside))
    assert before == compiled(Placement(**beside)), "differs by chance"
    assert before != compiled(Placement(**beside, **{name: value}))


@pytest.mark.parametrize("kind", get_args(Kind))
def test_each_resource_of_each_kind_changes_the_package(kind: str, compiled: Callable[[Placement], str]) -> None:
    usual = getattr(Placement(), kind).model_dump()
    before = compiled(Placement())
    for name, value in RESOURCES.items():
        assert before != compiled(Placement(**{kind: usual | {name: value}})), name
