"""A pipeline of one task that is killed at its first attempt."""

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
