"""``cnn-perception train``: the shipped bundles, from simulated rooms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cnn_perception.training.config import TrainingPlan

__all__ = ["command"]

_EVALUATION_ROOMS = 200


def command(
    plan: Annotated[Path, typer.Argument(help="Training plan, as config/training/rooms.yaml.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoint and bundles.")],
    data: Annotated[
        Path, typer.Option("--data", "-d", help="Folder of the rendered rooms (.npz).")
    ] = Path("out/rooms"),
    rooms: Annotated[
        int, typer.Option(min=0, help="Render that many rooms, 8 views each, unless present.")
    ] = 0,
    start: Annotated[
        Path | None, typer.Option(help="Checkpoint to begin from instead of random weights.")
    ] = None,
    export_only: Annotated[
        bool, typer.Option("--export-only", help="Write bundles of the checkpoint in OUT.")
    ] = False,
) -> None:
    """Train the detector and the segmenter of simulated rooms, and write both as bundles.

    On several cores: torchrun --nproc-per-node 2 --no-python cnn-perception train ...
    """
    import os

    from cnn_perception.datasets.rooms import write_shards
    from cnn_perception.errors import ConfigError
    from cnn_perception.training.config import load_plan

    settings = load_plan(plan)
    main_process = os.environ.get("RANK", "0") == "0"
    _log_to_console()
    if rooms:
        if "RANK" in os.environ:
            raise ConfigError("--rooms under torchrun: render first, without torchrun")
        size = (settings.network.image_width, settings.network.image_height)
        write_shards(data, rooms, 8, size)
    try:
        from cnn_perception.training.loop import Trainer
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training needs {error.name}: install cnn_perception with the [train] extra"
        ) from error
    if not export_only:
        Trainer(settings, data, out, start).run()
    if main_process:
        _export(settings, data, out)


def _log_to_console() -> None:
    """Show the package's log lines."""
    import logging

    from rich.logging import RichHandler

    logger = logging.getLogger("cnn_perception")
    logger.addHandler(RichHandler(show_path=False))
    logger.setLevel(logging.INFO)


def _export(plan: TrainingPlan, data: Path, out: Path) -> None:
    """Write both bundles of the checkpoint in `out`, and measure them."""
    from rich.console import Console

    from cnn_perception.datasets.rooms import EVALUATION_SEED, load_shard, render_rooms
    from cnn_perception.export.bundle import write_quality
    from cnn_perception.metrics.bundles import measure_bundle
    from cnn_perception.runtime.bundle import load_bundle
    from cnn_perception.training.export import export_rooms
    from cnn_perception.training.loop import load_checkpoint

    console = Console()
    network = load_checkpoint(out / "checkpoint.pt", plan)
    samples = list(load_shard(data / "eval.npz"))[:4]
    folders = export_rooms(network, plan, out, samples)
    # At the camera's own size, as `cnn-perception evaluate` does it.
    images = list(render_rooms(EVALUATION_SEED, _EVALUATION_ROOMS))
    last = EVALUATION_SEED + _EVALUATION_ROOMS - 1
    dataset = f"simulated rooms, seeds {EVALUATION_SEED} to {last}, one view each"
    for folder in folders:
        quality = {"dataset": dataset, **measure_bundle(load_bundle(folder), images)}
        write_quality(folder, quality)
        figures = {key: value for key, value in quality.items() if not isinstance(value, dict)}
        console.print(f"{folder}: {figures}", markup=False, highlight=False)
