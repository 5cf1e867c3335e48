"""What the commands of ``cnn-perception bench`` have in common: progress, and results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cnn_perception.cli import terminal

__all__ = ["AsJson", "JsonFile", "progress_bar", "say", "spread_cells", "tell"]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
JsonFile = Annotated[
    Path | None,
    typer.Option(help="Write the result as JSON into this file too."),
]


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show on a terminal what is being done, and how much of how much of it is."""
    with terminal.progress_bar(Console(stderr=True)) as bar:
        task = bar.add_task("")
        yield lambda text, done, total: bar.update(
            task, description=text, completed=done, total=total
        )


def spread_cells(times: Mapping[str, float] | None) -> list[str]:
    """Return median, minimum and interquartile range; dashes for what was not timed."""
    keys = ("median", "min", "interquartile_range")
    return [f"{times[key]:.2f}" if times else "-" for key in keys]


def say(*lines: str, style: str = "") -> None:
    """Print lines as they are."""
    terminal.print_lines(Console(), *lines, style=style, wrap=True)


def tell(
    answer: Mapping[str, Any], out: Path | None, as_json: bool, show: Callable[[], None]
) -> None:
    """Print a result, as JSON or by `show`, and write it into a file if there is one."""
    text = json.dumps(answer, indent=1)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)
    else:
        show()
