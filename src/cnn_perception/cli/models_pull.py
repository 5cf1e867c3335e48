"""``cnn-perception models pull``: a published network as a bundle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cnn_perception.offboard.pretrained.download import Progress

__all__ = ["command"]

_USES = {
    "detection": "cnn-perception detect --model {name} PICTURES",
    "segmentation": "cnn-perception segment --model {name} PICTURES",
    "classification": "cnn-perception models check {name}",
}


def command(
    name: Annotated[str, typer.Argument(help="One of 'models list --available'.")],
    file: Annotated[
        Path | None, typer.Option("--from", help="The weights, already fetched: no internet.")
    ] = None,
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Size of the input, for networks that take any.")
    ] = "",
    picture: Annotated[
        list[Path] | None, typer.Option(help="Check the export on these instead of a room.")
    ] = None,
    explain: Annotated[
        bool, typer.Option(help="Let it explain itself; VGG and AlexNet become twice as large.")
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Also if it is there already.")] = False,
    catalog: Annotated[
        Path | None, typer.Option(help="Another list of networks than models/catalog.yaml.")
    ] = None,
) -> None:
    """Fetch a published network, make a bundle of it, and check that it answers as in PyTorch."""
    from rich.console import Console

    from cnn_perception.cli.inputs import find_sources
    from cnn_perception.cli.terminal import print_lines
    from cnn_perception.offboard.pretrained.catalog import find_published
    from cnn_perception.offboard.pretrained.pull import check_pictures, installed, pull, run_once

    published = find_published(name, catalog)
    wanted = _size(size)
    console = Console()
    folder = installed(name)
    if folder is not None and not force:
        console.print(f"{name} is there: {folder} (--force makes it anew)", soft_wrap=True)
        return
    pictures = [source.picture() for source in find_sources(picture or [])] or check_pictures()
    with _progress_bar(console, published.file_name) as progress:
        folder = pull(
            published,
            pictures,
            file=file,
            size=wanted,
            explain=explain,
            progress=progress,
            tell=lambda text: print_lines(console, text),
        )
    milliseconds = run_once(folder, pictures[0])
    print_lines(
        console,
        f"{name} is ready in {folder}: {milliseconds:.0f} ms a picture on one thread",
        f"try: {_USES[published.task].format(name=name)}",
    )


def _size(text: str) -> tuple[int, int] | None:
    """Return (width, height) of a text like 640x480, None of an empty one."""
    from cnn_perception.errors import ConfigError

    if not text:
        return None
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise ConfigError(f"--size {text}: give width and height in pixels, as 640x480")
    return int(width), int(height)


@contextmanager
def _progress_bar(console: Console, title: str) -> Iterator[Progress]:
    """Show how much of a download is there, from its first block on."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress("{task.description}", *columns, console=console)
    task = bar.add_task(title, total=None)

    def show(done: int, total: int | None) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
