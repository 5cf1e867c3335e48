from __future__ import annotations

import io
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")

from rich.console import Console  # noqa: E402

from cnn_perception.errors import ConfigError  # noqa: E402
from cnn_perception.offboard.training.journal import Journal, MetricsFile  # noqa: E402


def test_rows_are_steps_and_columns_join(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    table = MetricsFile(path)
    table.write(2, {"loss": 0.5})
    table.write(4, {"loss": 0.25})
    assert path.read_text() == "step,loss\n2,0.5\n4,0.25\n"
    table.write(4, {"miou": 0.125})
    table.write(6, {"loss": 1e-7})
    assert path.read_text() == "step,loss,miou\n2,0.5,\n4,0.25,0.125\n6,1e-07,\n"


def test_steps_that_come_again_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    for step in (2, 4, 6):
        MetricsFile(path, step - 1).write(step, {"loss": step})
    with path.open("a") as file:
        file.write("7")  # the power went
    MetricsFile(path, 4).write(5, {"other": 1})
    assert path.read_text() == "step,loss,other\n2,2,\n4,4,\n5,,1\n"
    MetricsFile(path)
    assert path.read_text() == "step\n"


def test_a_file_of_someone_else_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="no column step"):
        MetricsFile(path, 1)
    assert path.read_text() == "a,b\n1,2\n"


def report(folder: Path, first: int, steps: range, console: Console) -> None:
    with Journal(folder, 8, first, console) as journal:
        for step in steps:
            journal.step(step)
            journal.report(step, {"loss": 1 / step, "learning_rate": 0.1}, 25.0, 3700.0)
        journal.measured(steps[-1], {"miou": 0.5})


def test_event_files_hold_what_was_reported(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra: [train]")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    quiet = Console(file=io.StringIO())
    report(tmp_path, 0, range(1, 7), quiet)
    report(tmp_path, 4, range(5, 9), quiet)  # it died at 6, and went on from 4
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "train/loss",
        "train/learning_rate",
        "train/images_per_second",
        "validation/miou",
    }
    losses = events.Scalars("train/loss")
    assert [event.step for event in losses] == list(range(1, 9))
    assert [event.value for event in losses] == pytest.approx([1 / k for k in range(1, 9)])
    assert [event.step for event in events.Scalars("validation/miou")] == [8]


def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    output = io.StringIO()
    report(tmp_path, 0, range(1, 5), Console(file=output, force_terminal=True, width=120))
    assert "4/8" in output.getvalue() and "25 images/s, loss 0.250" in output.getvalue()


def test_elsewhere_a_report_is_a_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    output = io.StringIO()
    with caplog.at_level("INFO"):
        report(tmp_path, 0, range(2, 3), Console(file=output))
    assert output.getvalue() == ""
    assert [record.message for record in caplog.records if "TensorBoard" not in record.message] == [
        "step 2 of 8 (25.0 %): loss 0.5, learning_rate 0.1; 25 images/s, 1:01:40 left",
        "step 2 of 8 measured: miou 0.5000",
    ]
