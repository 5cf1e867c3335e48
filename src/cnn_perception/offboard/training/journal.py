"""What a run reports: metrics.csv, TensorBoard, and a progress bar or plain lines."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnn_perception.errors import ConfigError

__all__ = ["Journal", "MetricsFile"]

_log = logging.getLogger(__name__)


class MetricsFile:
    """A CSV file with a row per step that was reported; columns join as they come up."""

    def __init__(self, path: Path, after: int = 0) -> None:
        """Open or begin the file; rows of steps above `after` are deleted: they come again."""
        self.path = path
        self.columns = ["step"]
        self.rows: list[dict[str, str]] = []
        if after and path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                self.columns = list(reader.fieldnames or self.columns)
                # A power cut may have left half a row.
                whole = [row for row in reader if None not in row.values()]
            if self.columns[0] != "step":
                raise ConfigError(f"{path} has no column step: move it away")
            self.rows = [row for row in whole if int(row["step"]) <= after]
        self._rewrite()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add values of a step; further ones of the same step join its row."""
        row = {"step": str(step), **{name: f"{value:.6g}" for name, value in values.items()}}
        fresh = [name for name in row if name not in self.columns]
        again = bool(self.rows) and self.rows[-1]["step"] == row["step"]
        self.columns += fresh
        if again:
            self.rows[-1].update(row)
        else:
            self.rows.append(row)
        if fresh or again:
            self._rewrite()
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(row)

    def _rewrite(self) -> None:
        partial = self.path.with_suffix(".part")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(self.rows)
        partial.replace(self.path)


class Journal:
    """Reports of a run from step `first` to `total`; use it as a context.

    Writes ``metrics.csv`` to a folder and, where tensorboard is installed, event files to its
    ``tensorboard``. On a terminal a bar shows steps, images per second and the time that is left;
    elsewhere each report is a line of the log.
    """

    def __init__(
        self, folder: Path, total: int, first: int = 0, console: Console | None = None
    ) -> None:
        self.total = total
        self.table = MetricsFile(folder / "metrics.csv", first)
        self._board = _tensorboard(folder / "tensorboard", first)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console or Console(),
        )
        self._live = self._bar.console.is_terminal
        self._task = self._bar.add_task("training", total=total, completed=first, rate="")

    def __enter__(self) -> Journal:
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._bar.stop()
        if self._board is not None:
            self._board.close()

    def step(self, step: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=step)

    def report(self, step: int, values: Mapping[str, float], rate: float, seconds: float) -> None:
        """Record losses and the learning rate; rate: images per second; seconds: that are left."""
        self._write("train", step, {**values, "images_per_second": rate})
        self._bar.update(self._task, rate=f"{rate:.3g} images/s, loss {values['loss']:.3f}")
        if not self._live:
            terms = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            _log.info(
                "step %d of %d (%.1f %%): %s; %.3g images/s, %s left",
                step,
                self.total,
                100 * step / self.total,
                terms,
                rate,
                _duration(seconds),
            )

    def measured(self, step: int, figures: Mapping[str, float]) -> None:
        """Record what an evaluation found."""
        self._write("validation", step, figures)
        text = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
        _log.info("step %d of %d measured: %s", step, self.total, text)

    def _write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        self.table.write(step, values)
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, step)
            self._board.flush()


def _tensorboard(folder: Path, first: int) -> Any:
    """Return a writer of event files, or None without tensorboard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _log.info("no TensorBoard: pip install tensorboard to have event files too")
        return None
    # TensorBoard forgets what an earlier part of the run wrote from this step on.
    return SummaryWriter(str(folder), purge_step=first + 1 if first else None)


def _duration(seconds: float) -> str:
    """Return hours, minutes and seconds, as 2:05:00."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
