"""`headstart compile`: write a pipeline as a package for a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.table import Table

from headstart.components.console import Console
from headstart.components.errors import SettingError
from headstart.pipelines.json_output import Compiled, json_option, print_json
from headstart.pipelines.own_files import check_manifest_file, check_package_file
from headstart.pipelines.packages import LARGEST_OBJECT_BYTES, PIPELINES, PipelineName, compile_package, write_manifest
from headstart.pipelines.placement_options import placement_options, read_placement


@click.command()
@click.argument("pipeline", type=click.Choice(PIPELINES))
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [default: PIPELINE.yaml]"
)
@click.option(
    "--parallelism", type=click.IntRange(1, 100), default=1, show_default=True,
    help="Training tasks at a time. More than 1 needs as many equal nodes, or they disturb each other.",
)  # fmt: skip
@click.option(
    "--manifest", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Also write it as Pipeline and PipelineVersion objects, for a Kubeflow Pipelines that keeps pipelines in the "
    "Kubernetes API: kubectl apply, Argo CD, Flux.",
)  # fmt: skip
@placement_options
@json_option
def command(
    pipeline: PipelineName,
    output: Path | None,
    parallelism: int,
    manifest: Path | None,
    placement: dict[str, Any],
    as_json: bool,
) -> None:
    """Write PIPELINE as a package for Kubeflow Pipelines 2.17.

    The package holds where tasks run, so every option here is fixed in it. What is measured (data, preset, seeds)
    stays a parameter of the run:

      headstart compile experiment --image REGISTRY/headstart:0.1.0 --output experiment.yaml

      kfp --endpoint URL run create -e headstart -f experiment.yaml preset=fast
    """
    where = read_placement(**placement)
    file = output or Path(f"{pipeline}.yaml")
    check_package_file(file, "--output")
    if manifest:
        if manifest.resolve() == file.resolve():
            raise SettingError(f"--manifest {manifest}: this is the package's own file.", "Give another name.")
        check_manifest_file(manifest, "--manifest")
    package = compile_package(pipeline, file, where, parallelism=parallelism)
    version = write_manifest(package, manifest) if manifest else ""

    size = package.path.stat().st_size
    if as_json:
        print_json(
            Compiled(
                pipeline=package.name,
                package=str(package.path),
                bytes=size,
                images=list(package.images),
                accelerators=where.accelerators,
                accelerator_type=where.accelerator_type,
                parameters=sorted(package.parameters),
                manifest=str(manifest) if manifest else None,
                version=version or None,
            )
        )
        return
    console = Console()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("Package", f"{package.path}, {size / 1024:.0f} KiB ({size / LARGEST_OBJECT_BYTES:.0%} of what fits)")
    table.add_row("Pipeline", package.name)
    if manifest:
        table.add_row("Manifest", f"{manifest}: Pipeline {package.name}, PipelineVersion {version}")
    table.add_row("Images", ", ".join(package.images))
    table.add_row("Accelerators", f"{where.accelerators} × {where.accelerator_type}" if where.accelerators else "none")
    table.add_row("Parameters", ", ".join(sorted(package.parameters)))
    console.print(table)
