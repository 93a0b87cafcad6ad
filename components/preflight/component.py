"""The first task of every pipeline: a thin shell around `components.preflight.checks`."""

# No `from __future__ import annotations` here: kfp reads the annotations as objects.
from kfp import dsl

# Replaced for each task by the image that the pipeline is compiled for.
IMAGE = "headstart:0.1.0"


@dsl.component(base_image=IMAGE, install_kfp_package=False)  # type: ignore[untyped-decorator]
def preflight(
    run_id: str,
    source_data: str = "",
    intermediate_data: str = "",
    target_data: str = "",
    write_to: str = "",
) -> str:
    """Check from inside a pod what a run needs: image, user, folders, data within reach, a place to write to.

    Fails, with all that is wrong in one message, before anything costly starts.

    Args:
        run_id: This run; it keeps the answer from being taken from the cache.
        source_data: URI that the run will read; empty: none. The next two likewise.
        intermediate_data: URI that the run will read.
        target_data: URI that the run will read.
        write_to: Folder or gs:// prefix for checkpoints or a model store; empty: none.

    Returns:
        One line a check.
    """
    from components.preflight.checks import require

    return require(read_from=[source_data, intermediate_data, target_data], write_to=write_to, run_id=run_id)
