"""`headstart report` and `headstart compare` as a person and as CI use them."""

import contextlib
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import builders
import pytest

from headstart.components.records import RunRecord
from headstart.components.reporting.collecting import find_records, group
from headstart.components.reporting.report import folder_name
from headstart.components.reporting.summary import read_summary
from headstart.pipelines.cli import main


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def headstart(*arguments: str | Path, columns: int = 100) -> Done:
    """Run the command line in this process, which spares an interpreter and its imports for each test."""
    out, errors = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("NO_COLOR", "1")
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
    assert isinstance(ended.value.code, int)
    return Done(ended.value.code, out.getvalue(), errors.getvalue())


def write(records: list[RunRecord], folder: Path) -> Path:
    for record in records:
        record.write(folder / "records" / f"{record.name}.json")
    return folder


def slower(records: list[RunRecord], arm: str, times: float) -> list[RunRecord]:
    """The runs of `arm` as on a machine that takes `times` as long."""

    def change(record: RunRecord) -> RunRecord:
        rows = [
            row.model_copy(
                update={name: getattr(row, name) * times for name in ("train_seconds", "cpu_seconds", "elapsed")}
            )
            for row in record.epochs
        ]
        phases = record.phases.model_copy(update={"train": record.phases.train * times})
        cpu = record.train_cpu_seconds * times
        return record.model_copy(update={"phases": phases, "epochs": rows, "train_cpu_seconds": cpu})

    return [change(record) if record.arm == arm else record for record in records]


def less_accurate(records: list[RunRecord], arm: str, by: float) -> list[RunRecord]:
    """The runs of `arm` with an accuracy that is lower by about `by`."""

    def change(record: RunRecord) -> RunRecord:
        accuracy = (record.result.test_accuracy or 0) - by
        other = builders.record(arm, record.seed, epochs=1, accuracy=accuracy).result
        test = {name: getattr(other, name) for name in ("test_accuracy", "test_loss", "confusion")}
        return record.model_copy(update={"result": record.result.model_copy(update=test)})

    return [change(record) if record.arm == arm else record for record in records]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(builders.experiment(8, seed=4), tmp_path_factory.mktemp("base") / "spaces and 'quotes'")


def test_report_of_an_output_folder(base: Path, tmp_path: Path) -> None:
    done = headstart("report", base, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    summary = read_summary(tmp_path / "out")
    assert " ".join(done.stdout.split()).startswith(" ".join(summary.answer.split()))
    assert "Sound." in done.stdout
    assert str(tmp_path / "out" / "report.html") in done.stdout.replace("\n", "")


def test_in_a_process_of_its_own_it_imports_nothing_heavy(base: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from headstart.pipelines.cli import main\n"
        "try: main()\n"
        "except SystemExit as ended: status = ended.code\n"
        "heavy = {'tensorflow', 'keras', 'kfp', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy)); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "report", str(base), "--output", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.endswith("heavy: []\n")


def test_report_of_single_files_and_of_several_experiments(base: Path, tmp_path: Path) -> None:
    other = write(builders.experiment(5, seed=9, run_id="run-b"), tmp_path / "other")
    done = headstart("report", base, *sorted((other / "records").glob("*.json")), "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
    assert read_summary(tmp_path / "out" / "other").run_id == "run-b"
    assert read_summary(tmp_path / "out" / "spaces-and-quotes").run_id == builders.RUN_ID


def test_strict_tells_an_unsound_measurement_by_its_exit_status(base: Path, tmp_path: Path) -> None:
    assert headstart("report", base, "--output", tmp_path, "--strict").returncode == 0
    done = headstart("report", base, "--output", tmp_path, "--strict", "--minimum-succeeded", "9")
    assert done.returncode == 1
    assert "enough_runs" in done.stdout
    off = headstart(
        "report", base, "--output", tmp_path, "--strict", "--minimum-succeeded", "9", "--rule", "enough_runs=off"
    )
    assert off.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-folder"], "no-such-folder: there is no such file"),
        (["--confidence", "2"], "confidence"),
        (["--rule", "nonsense"], "NAME=SEVERITY"),
        (["--rule", "nonsense=off"], "nonsense"),
        (["--target-accuracy", "nan"], "target_accuracy"),
        (["--price-per-hour", "-1"], "--price-per-hour"),
    ],
)
def test_wrong_use_ends_with_2_and_no_traceback(base: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    named = arguments if arguments[0].startswith("no-such") else [str(base), *arguments]
    done = headstart("report", *named, "--output", tmp_path / "out", columns=300)
    assert done.returncode == 2, done
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"arm": 5}')
    done = headstart("report", tmp_path / "bad.json", "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "bad.json" in done.stderr and "arm" in done.stderr


def test_an_output_that_cannot_be_written_fails_clearly(base: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = headstart("report", base, "--output", tmp_path / "file" / "out")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr


def test_records_are_found_in_outputs_and_never_twice(tmp_path: Path) -> None:
    one = write(builders.experiment(1), tmp_path / "runs" / "one")
    write(builders.experiment(2), tmp_path / "runs" / "two")
    assert len(find_records([tmp_path / "runs"])) == 5 + 7
    assert len(find_records([one, one / "records", *(one / "records").glob("*.json")])) == 5
    assert {name: len(found) for name, found in group(find_records([tmp_path / "runs"])).items()} == {
        "one": 5,
        "two": 7,
    }


def test_records_that_lie_apart_are_grouped_by_their_run(tmp_path: Path) -> None:
    for index, record in enumerate([*builders.experiment(1), *builders.experiment(1, run_id="run-b")]):
        record.write(tmp_path / f"task-{index}" / "record.json")
    found = group(sorted(tmp_path.glob("*/record.json")))
    assert {name: len(records) for name, records in found.items()} == {builders.RUN_ID: 5, "run-b": 5}


def test_names_become_folders_that_stay_inside() -> None:
    assert [folder_name(name) for name in ("../../etc", "a b/c", "", "...", "Äpfel_1")] == [
        "etc",
        "a-b-c",
        "run",
        "run",
        "Äpfel_1",
    ]


def test_compare_with_itself_is_no_worse(base: Path) -> None:
    done = headstart("compare", base, base)
    assert done.returncode == 0, done.stderr
    assert "B is no worse than A." in done.stdout


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (lambda all_: slower(all_, "transfer", 2.0), 1, "B is worse: transfer training time."),
        (lambda all_: slower(all_, "transfer", 0.5), 0, "better"),
        (lambda all_: slower(all_, "baseline", 1.02), 0, "no worse"),
        (lambda all_: less_accurate(all_, "transfer", 0.02), 1, "B is worse: transfer test accuracy."),
        (lambda all_: less_accurate(all_, "baseline", -0.05), 0, "better"),
        (
            lambda all_: [
                r.model_copy(update={"status": "failed"}) if r.arm == "baseline" and r.seed else r for r in all_
            ],
            1,
            "baseline runs that succeeded",
        ),
        (
            lambda all_: [r.model_copy(update={"run_id": "x"}) if r.name == "final" else r for r in all_],
            1,
            "measurement",
        ),
    ],
    ids=["slower", "faster", "within noise", "less accurate", "more accurate", "fails", "unsound"],
)
def test_compare_tells_by_its_exit_status(base: Path, tmp_path: Path, change: object, status: int, said: str) -> None:
    assert callable(change)
    other = write(change(builders.experiment(8, seed=4)), tmp_path / "b")
    done = headstart("compare", base, other, columns=160)
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stdout


def test_compare_reads_summaries_and_refuses_what_cannot_be_compared(base: Path, tmp_path: Path) -> None:
    assert headstart("report", base, "--output", tmp_path / "a").returncode == 0
    alike = headstart("compare", tmp_path / "a", tmp_path / "a" / "summary.json", columns=160)
    assert alike.returncode == 0
    assert alike.stdout.count("would have shown from") == 4 and "none shown" in alike.stdout
    records = [
        r.model_copy(update={"data": r.data.model_copy(update={"digest": "other"})}) if r.data else r
        for r in builders.experiment(8, seed=4)
    ]
    other = write(records, tmp_path / "b")
    done = headstart("compare", tmp_path / "a", other)
    assert done.returncode == 2
    assert "A and B used other images" in done.stderr
    assert headstart("compare", tmp_path / "a", other, "--anyway").stdout.count("not judged") == 2
    for missing in (tmp_path / "nowhere", tmp_path / "a" / "report.html"):
        refused = headstart("compare", tmp_path / "a", missing)
        assert refused.returncode == 2
        assert missing.name in refused.stderr.replace("\n", "")
