"""``cnn-perception train``: the shipped bundles, from simulated rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


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
    import logging
    import os

    from rich.console import Console
    from rich.logging import RichHandler

    from cnn_perception.datasets.rooms import load_shard, write_shards
    from cnn_perception.errors import ConfigError
    from cnn_perception.training.config import load_plan

    console = Console()
    handler = RichHandler(console=console, show_path=False, markup=False)
    logger = logging.getLogger("cnn_perception")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    settings = load_plan(plan)
    size = (settings.network.image_width, settings.network.image_height)
    main_process = os.environ.get("RANK", "0") == "0"
    if rooms:
        if not main_process:
            raise ConfigError("--rooms under torchrun: render first, with one process")
        write_shards(data, rooms, 8, size)
    try:
        from cnn_perception.training.export import export_detector, export_segmenter, write_quality
        from cnn_perception.training.loop import Trainer, load_checkpoint
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"training needs {error.name}: install cnn_perception with the [train] extra"
        ) from error
    if not export_only:
        Trainer(settings, data, out, start).run()
    if not main_process:
        return
    network = load_checkpoint(out / "checkpoint.pt", settings)
    images = list(load_shard(data / "eval.npz"))
    export_detector(network, settings, out / "rooms_ssdlite", images[:4])
    export_segmenter(network, settings, out / "rooms_fcn", images[:4])
    for name in ("rooms_ssdlite", "rooms_fcn"):
        quality = write_quality(out / name, images, "simulated rooms, seeds from 1000000")
        figures = {key: value for key, value in quality.items() if not isinstance(value, dict)}
        console.print(f"{out / name}: {figures}", markup=False, highlight=False)
