import pytest

from headstart.components import progress


@pytest.mark.parametrize("value", ["plain", "two words", 'a "quote"', "back\\slash", "a=b", "", "ümläut"])
def test_any_text_survives_the_round_trip(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    progress.emit("run", reason=value, seed=3)
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert progress.parse(line) == {"event": "run", "reason": value, "seed": "3"}


def test_a_line_break_does_not_break_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    progress.emit("run", reason="one\ntwo")
    assert progress.parse(capsys.readouterr().out) == {"event": "run", "reason": "one two"}


def test_none_is_left_out_and_floats_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    progress.emit("epoch", loss=None, accuracy=0.123456789)
    assert capsys.readouterr().out == "headstart event=epoch accuracy=0.123457\n"


def test_events_are_found_in_the_runner_s_indented_log() -> None:
    assert progress.parse("    headstart event=epoch epoch=4") == {"event": "epoch", "epoch": "4"}


@pytest.mark.parametrize("line", ["", "loss 0.3", "see headstart event=epoch", "headstart run"])
def test_other_lines_are_no_events(line: str) -> None:
    assert progress.parse(line) is None
