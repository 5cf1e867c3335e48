"""``cnn-perception simulate``: record a drive through a simulated room."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    out: Annotated[Path, typer.Option(help="New rosbag2 folder.")],
    seed: Annotated[int, typer.Option(min=0, help="Which room; equal seeds give equal bags.")] = 0,
    seconds: Annotated[float, typer.Option(help="Length of the drive.")] = 12.0,
    width: Annotated[int, typer.Option(help="Width of the images, pixels.")] = 320,
    height: Annotated[int, typer.Option(help="Height of the images, pixels.")] = 240,
    rate: Annotated[float, typer.Option(help="Images per second.")] = 10.0,
    jpeg_quality: Annotated[int, typer.Option(help="Quality of the color images, 1..100.")] = 90,
    ground_truth: Annotated[
        bool, typer.Option(help="Also record /ground_truth/mask and /ground_truth/detections.")
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the bag.")] = False,
) -> None:
    """Record a robot's drive through a simulated room: color, depth, poses and ground truth."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    from cnn_perception.cli.terminal import print_lines, progress_bar
    from cnn_perception.offboard.simulation.config import SimulationConfig
    from cnn_perception.offboard.simulation.recording import RecordingConfig, record_drive
    from cnn_perception.offboard.simulation.room import Room

    camera = SimulationConfig(width=width, height=height)
    recording = RecordingConfig(
        seconds=seconds, rate=rate, jpeg_quality=jpeg_quality, ground_truth=ground_truth
    )
    console = Console()
    bar = progress_bar(console, MofNCompleteColumn(), "images", TimeElapsedColumn())
    with Room(seed, camera) as room, bar:
        task = bar.add_task(f"driving through room {seed}", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        count = record_drive(room, out, recording, overwrite=overwrite, progress=advance)
    size = sum(file.stat().st_size for file in out.iterdir()) / 1e6
    print_lines(console, f"{count} images, {seconds:g} s, {size:.1f} MB: {out}", wrap=True)
