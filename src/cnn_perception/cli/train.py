"""``cnn-perception train``: a network of your own, from a plan and labelled images."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cnn_perception.offboard.datasets.dataset import Dataset

__all__ = ["command"]

_INTERRUPTED = 130
_PROOFS = 4
"""Images on which an exported network is compared with PyTorch."""


def command(
    plan: Annotated[Path, typer.Argument(help="Training plan, as config/training/rooms.yaml.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for checkpoints, reports and the bundle.")
    ],
    data: Annotated[
        Path | None, typer.Option("--data", "-d", help="Images, instead of the plan's data.path.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in OUT, exactly where it is.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option(help="Begin with the weights of another run's checkpoint.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Stop after this step; --resume goes on from there.")
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Replace a setting: optimisation.batch=4. Repeatable."),
    ] = None,
    export: Annotated[
        bool, typer.Option(help="At the end, write the best network as a bundle below OUT.")
    ] = True,
) -> None:
    """Train a network on labelled images or simulated rooms, and write it as a bundle.

    Ctrl-C finishes the step, saves everything and exits with 130. Several processes or GPUs:
    torchrun --nproc-per-node 2 --no-python cnn-perception train ...
    """
    import json

    from rich.console import Console

    from cnn_perception.cli.extras import needs_train_extra
    from cnn_perception.cli.terminal import print_lines
    from cnn_perception.errors import ConfigError

    with needs_train_extra("training"):
        from cnn_perception.offboard.training.data import data_labels, open_data, prepare_data
        from cnn_perception.offboard.training.parallel import TrainingGroup
        from cnn_perception.offboard.training.plan import load_plan
        from cnn_perception.offboard.training.tasks import make_task
        from cnn_perception.offboard.training.trainer import Trainer

    if resume and start is not None:
        raise ConfigError("--resume goes on with a run, --start begins one: give one of them")
    begun = (out / "checkpoint.pt").is_file()
    if begun and not resume:
        raise ConfigError(f"{out} holds a run: go on with --resume, or choose another --out")
    if resume and not begun:
        raise ConfigError(f"{out} holds no checkpoint.pt: leave out --resume to begin a run")
    changes = list(change or ())
    if data is not None:
        changes.append(f"data.path={json.dumps(str(data))}")
    settings = load_plan(plan, changes)
    console = Console()
    group = TrainingGroup.join()
    with _logging_to(console, logging.INFO if group.rank == 0 else logging.ERROR):
        if group.rank == 0:
            prepare_data(settings)
        group.any(False)  # the others wait until the data are there
        train, validation = open_data(settings)
        task = make_task(settings, data_labels(settings, train))
        trainer = Trainer(settings, task, train, validation, out)
        if resume:
            trainer.resume()
        elif start is not None:
            trainer.learner.begin_from(start)
        finished = trainer.run(steps, console)
        if group.rank == 0:
            place = f"{out}: step {trainer.learner.step} of {trainer.steps}"
            print_lines(console, place, wrap=True)
            if not finished:
                console.print("interrupted; the same command with --resume goes on")
            elif export:
                _export(out, train, validation, console)
    group.leave()
    if not finished:
        raise typer.Exit(_INTERRUPTED)


@contextmanager
def _logging_to(console: Console, level: int) -> Iterator[None]:
    """Show the package's log lines for a while."""
    from rich.logging import RichHandler

    logger = logging.getLogger("cnn_perception")
    handler = RichHandler(console=console, show_path=False)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _export(out: Path, train: Dataset, validation: Dataset | None, console: Console) -> None:
    """Write the best checkpoint, or else the last, as a bundle named like its folder.

    With validation images, what a robot would reach on them goes into its model.yaml.
    """
    from itertools import islice

    from cnn_perception.cli.terminal import print_lines
    from cnn_perception.offboard.evaluation.bundles import measure_bundle
    from cnn_perception.offboard.export.bundle import write_quality
    from cnn_perception.offboard.training.checkpoint import load_checkpoint
    from cnn_perception.runtime.bundle import load_bundle

    best = out / "best.pt"
    checkpoint = load_checkpoint(best if best.is_file() else out / "checkpoint.pt")
    data = checkpoint.plan.data
    proofs = list(islice(validation or train, _PROOFS))
    for folder in checkpoint.task.export(checkpoint.network, out / out.resolve().name, proofs):
        print_lines(console, f"{folder}: of step {checkpoint.step}", wrap=True)
        if validation is None:
            continue
        source = Path(data.path).name if data.path else "simulated rooms"
        images = islice(validation, data.validation_images or None)
        quality = measure_bundle(load_bundle(folder), images)
        write_quality(folder, {"dataset": f"{source}, {data.validation}", **quality})
        totals = [f"{key} {value}" for key, value in quality.items() if not isinstance(value, dict)]
        print_lines(console, f"  {', '.join(totals)}", wrap=True)
