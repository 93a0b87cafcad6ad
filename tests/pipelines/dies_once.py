"""Pipelines of tasks that fail: killed at the first attempt, or by an error of ours at every one."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from headstart.pipelines.placement import Placement, place

IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def die_once(marker: str) -> str:
    """Be killed unless `marker` exists."""
    import os
    from pathlib import Path

    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), 9)
    return "done"


def dies_once(placement: Placement) -> BaseComponent:
    """Build it."""

    @dsl.pipeline(name="dies-once")
    def pipeline(marker: str) -> None:
        place(die_once(marker=marker), placement, "data")

    built: BaseComponent = pipeline
    return built


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fail(error: str, attempts: str) -> None:
    """Note the attempt in the folder `attempts` and raise `error`, one of `headstart.components.errors`."""
    from pathlib import Path

    from headstart.components import errors

    with Path(attempts, error).open("a") as file:
        file.write("x")
    try:
        raise errors.HeadstartError("the cause")
    except errors.HeadstartError as cause:
        raise getattr(errors, error)("headstart.components.errors.SettingError: quoted") from cause


def fails(placement: Placement) -> BaseComponent:
    """Build it."""

    @dsl.pipeline(name="fails")
    def pipeline(errors: list, attempts: str) -> None:  # type: ignore[type-arg]
        with dsl.ParallelFor(items=errors, parallelism=2) as error:
            place(fail(error=error, attempts=attempts), placement, "data")

    built: BaseComponent = pipeline
    return built
