"""The Python API: what the commands do, as functions; `import headstart` offers it. See docs/python-api.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from headstart.components.datasets.packed import Description
    from headstart.components.reporting.regression import Comparison
    from headstart.components.reporting.summary import Summary

PathLike = str | Path


def import_dataset(uri: PathLike, output: PathLike, *, layout: str = "auto", **settings: Any) -> Description:
    """Import the images at `uri` (a folder, an archive, a table, gs://, https://) into the packed data set `output`.

    `settings` are those of `headstart data folder`, such as image_size=52 or split_by="film". Returns the description:
    classes, counts, digest, notes. HeadstartError says what is wrong with the data, SettingError with a setting.
    """
    from headstart.components.datasets.importing import import_dataset as run

    return run(str(uri), Path(output), layout=layout, **settings)


def run_experiment(output: PathLike, *, restart: bool = False, docker: str = "", **options: Any) -> Summary:
    """Run the whole experiment on this machine into the folder `output` and return its summary.

    `options` are those of `headstart run` with underscores, for example source=…, intermediate=…, target=…,
    preset="fast", runs=5, arms=("baseline", "transfer"), settings={"batch_size": 64}, classes={"apple": "apple"};
    with sizes=… those of `headstart curve`, with its defaults. The same call goes on where an interrupted one stopped.
    An unsound measurement returns too: look at `Summary.sound`. HeadstartError where a stage failed, KeyboardInterrupt
    where it was interrupted.
    """
    from headstart.pipelines.configuration import options_of_call
    from headstart.pipelines.interruption import INTERRUPTED
    from headstart.pipelines.local_experiment import run_experiment as run
    from headstart.pipelines.request import experiment_request

    configuration = options_of_call({**options, **({"docker": docker} if docker else {})})
    request = experiment_request(
        output=Path(output), restart=restart, docker=docker, configuration=configuration, **options
    )
    if run(request) == INTERRUPTED:
        raise KeyboardInterrupt
    return load_summary(output)


def load_summary(folder: PathLike) -> Summary:
    """Read summary.json of a run's output folder, or the file itself; HeadstartError where it is none."""
    from headstart.components.reporting.summary import read_summary

    return read_summary(Path(folder))


def load_runs(folder: PathLike | Sequence[PathLike]) -> pd.DataFrame:
    """Return one row per run record below `folder` (or several): identity, times in seconds, accuracies as fractions.

    Columns: experiment, arm, seed, preparation, draw, images_per_class (of a learning curve's run; missing: all there
    are), training_images, run_id, status, stop_reason, epochs, a column for each phase
    (`train` is the training clock), total, cpu, test_accuracy, best_validation_accuracy, test_loss, best_epoch, digests
    (dataset, initial_model, final_weights), trainable_parameters, host. SettingError where there are no records.
    """
    import pandas as pd

    from headstart.components.reporting.collecting import find_records, group
    from headstart.components.reporting.experiment import total_seconds

    folders = [folder] if isinstance(folder, str | Path) else list(folder)
    rows = []
    for name, records in group(find_records([Path(path) for path in folders])).items():
        for record in records:
            rows.append(
                {
                    "experiment": name,
                    "arm": record.arm,
                    "seed": record.seed,
                    "preparation": record.preparation,
                    "draw": record.draw,
                    "images_per_class": record.subset.size_per_class if record.subset else None,
                    "training_images": record.data.counts.get("train") if record.data else None,
                    "run_id": record.run_id,
                    "status": record.status,
                    "stop_reason": record.stop_reason,
                    "epochs": len(record.epochs),
                    **record.phases.model_dump(),
                    "total": total_seconds(record),
                    "cpu": record.train_cpu_seconds,
                    **record.result.model_dump(include=set(_RESULT)),
                    "dataset": record.data.digest if record.data else None,
                    "initial_model": record.initial_model,
                    "final_weights": record.final_weights,
                    "trainable_parameters": record.trainable_parameters,
                    "host": record.environment.hostname,
                }
            )
    return pd.DataFrame(rows)


_RESULT = ("test_accuracy", "best_validation_accuracy", "test_loss", "best_epoch")


def load_epochs(folder: PathLike) -> pd.DataFrame:
    """Return one row per epoch of every run below `folder`: arm, seed, preparation, draw, and the record's columns."""
    import pandas as pd

    from headstart.components.records import read_record
    from headstart.components.reporting.collecting import find_records

    rows = []
    for record in map(read_record, find_records([Path(folder)])):
        identity = {name: getattr(record, name) for name in ("arm", "seed", "preparation", "draw")}
        rows += [identity | epoch.model_dump() for epoch in record.epochs]
    return pd.DataFrame(rows)


def report(records: PathLike | Sequence[PathLike], output: PathLike, **settings: Any) -> Summary:
    """Write report.html, report.md, runs.csv, summary.json and reproduce.py of one experiment's records to `output`.

    `settings` are those of `headstart report`, such as confidence=0.9 or rules={"few_runs": "off"}. SettingError where
    the records belong to several experiments: report on each by itself.
    """
    from headstart.components.errors import SettingError
    from headstart.components.reporting.collecting import find_records, group
    from headstart.components.reporting.report import write_report
    from headstart.pipelines.own_files import check_report_folder

    paths = [records] if isinstance(records, str | Path) else list(records)
    groups = group(find_records([Path(path) for path in paths]))
    if len(groups) != 1:
        raise SettingError(
            f"records: they belong to {len(groups)} experiments ({', '.join(groups)}).",
            "Report on the records of each by themselves.",
        )
    check_report_folder(Path(output), "output")
    return write_report(next(iter(groups.values())), Path(output), settings=settings)


def compare(a: PathLike, b: PathLike, **settings: Any) -> Comparison:
    """Say whether the experiment in `b` is slower or less accurate than that in `a`, as `headstart compare` does.

    `settings`: confidence, time_tolerance and accuracy_tolerance (fractions), anyway.
    """
    from headstart.components.reporting.regression import compare as run
    from headstart.components.reporting.regression import load

    return run(load(Path(a)), load(Path(b)), **settings)


def predict(model: PathLike, images: Iterable[PathLike], top: int = 3) -> pd.DataFrame:
    """Classify image files with a model that Headstart wrote: a row per image and rank.

    Columns: image, rank (1 is the most probable), class, probability, error (empty, or why the file was not read).
    """
    import pandas as pd

    from headstart.components.training.prediction import classify

    rows: list[Mapping[str, Any]] = []
    for entry in classify(Path(model), [Path(image) for image in images], top):
        for rank, (name, probability) in enumerate(entry.classes or [("", float("nan"))], start=1):
            rows.append(
                {
                    "image": entry.image,
                    "rank": rank,
                    "class": name,
                    "probability": probability,
                    "error": entry.error,
                }
            )
    return pd.DataFrame(rows, columns=["image", "rank", "class", "probability", "error"])
