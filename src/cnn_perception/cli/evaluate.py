"""``cnn-perception evaluate``: how good a bundle is on images that it was not trained on."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cnn_perception.cli.options import Json, option
from cnn_perception.config import SessionConfig
from cnn_perception.offboard.training.data_config import DataConfig

if TYPE_CHECKING:
    from rich.console import Console

    from cnn_perception.offboard.evaluation.data import EvaluationData
    from cnn_perception.offboard.evaluation.evaluate import Evaluation
    from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["command"]

_ROOMS = DataConfig().evaluation_rooms


def command(
    model: Annotated[str, typer.Argument(help="Bundle: a name, a folder or a model.yaml.")],
    rooms: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Rooms to render, {_ROOMS} if not said; with --data the most images used."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="First room.")] = 1_000_000,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Pascal VOC folder, MS COCO folder or .json, stored rooms, or class folders, "
            "instead of rendered rooms."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which list of the data; val, else test.")
    ] = None,
    broken: str = option(DataConfig, "broken"),
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for metrics.json, curves and pictures of the worst images."
        ),
    ] = None,
    worst: Annotated[
        int, typer.Option(min=0, max=99, help="How many of the worst images --out gets.")
    ] = 12,
    print_json: Json = False,
    provider: str = option(SessionConfig, "provider"),
    threads: int = option(SessionConfig, "threads"),
) -> None:
    """Measure a bundle: average precision of boxes, IoU of masks, accuracy of classes.

    Classes of data and bundle are matched by name. Those that only one side has do not count, and
    are listed.
    """
    from rich.console import Console

    from cnn_perception.cli.evaluate_tables import print_report
    from cnn_perception.cli.terminal import print_lines
    from cnn_perception.offboard.evaluation.files import write_evaluation
    from cnn_perception.runtime.bundle import load_bundle

    bundle = load_bundle(model)
    if out is not None:
        _make(out)
    session = SessionConfig(provider=provider, threads=threads)
    console = Console(stderr=print_json)
    with _named_in_the_report():
        images = _open(bundle, data, split, rooms, seed, broken)
        evaluation = _evaluate(bundle, images, session, worst if out else 0, console)
    if print_json:
        typer.echo(json.dumps(evaluation.report))
    else:
        print_report(console, evaluation.report)
    if out is not None:
        files = write_evaluation(evaluation, out)
        print_lines(console, f"{len(files)} files in {out}", wrap=True)


@contextmanager
def _named_in_the_report() -> Iterator[None]:
    """Keep files that are skipped from being logged as well, amid the progress bar."""
    logger = logging.getLogger("cnn_perception.offboard.datasets")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _make(folder: Path) -> None:
    """Make a folder before minutes are spent on what it is for; raises ConfigError."""
    from cnn_perception.errors import ConfigError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {folder} cannot be made ({error.strerror}): give another folder"
        ) from error


def _open(
    bundle: ModelBundle,
    data: Path | None,
    split: str | None,
    rooms: int | None,
    seed: int,
    broken: str,
) -> EvaluationData:
    """Return the images: those of `data`, or rendered ones."""
    from typing import cast

    from cnn_perception.offboard.datasets.find import Task, open_dataset
    from cnn_perception.offboard.datasets.rooms import RenderedRooms
    from cnn_perception.offboard.evaluation.data import match_data

    if data is None:
        rendered = RenderedRooms(seed, rooms or _ROOMS)
        last = seed + len(rendered) - 1
        return match_data(bundle, rendered, f"simulated rooms, seeds {seed} to {last}")
    policy: Literal["raise", "skip"] = "skip" if broken == "skip" else "raise"
    dataset = open_dataset(data, cast(Task, bundle.task), split, broken=policy)
    return match_data(bundle, dataset, f"{data}, {split}" if split else str(data), rooms)


def _evaluate(
    bundle: ModelBundle,
    images: EvaluationData,
    session: SessionConfig,
    worst: int,
    console: Console,
) -> Evaluation:
    """Measure, with a progress bar on a terminal."""
    from cnn_perception.cli.terminal import counting_bar
    from cnn_perception.offboard.evaluation.evaluate import evaluate_bundle

    with counting_bar(console) as progress:
        task = progress.add_task(bundle.name, total=images.count)
        return evaluate_bundle(
            bundle, images, session, worst=worst, progress=lambda: progress.advance(task)
        )
