"""``cnn-perception record-rgbd``: a folder of RGB-D frames as a rosbag."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    folder: Annotated[Path, typer.Argument(help="Folder of frame-N.depth.png, .color, .pose.txt.")],
    out: Annotated[Path, typer.Option(help="The bag to write.")],
    rate: Annotated[float, typer.Option(help="Frames per second.")] = 10.0,
    overwrite: Annotated[bool, typer.Option(help="Replace a bag that is there.")] = False,
) -> None:
    """Turn an RGB-D folder (7-Scenes layout) into a rosbag: images, calibration, transforms."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn

    from cnn_perception.cli.terminal import print_lines, progress_bar
    from cnn_perception.recording.rgbd_bag import record_rgbd_folder
    from cnn_perception.recording.rgbd_folder import RgbdFolder

    console = Console()
    with progress_bar(console, MofNCompleteColumn()) as bar:
        task = bar.add_task("recording")
        count = record_rgbd_folder(
            RgbdFolder(folder),
            out,
            rate=rate,
            overwrite=overwrite,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    print_lines(console, f"{count} frames in {out}", wrap=True)
