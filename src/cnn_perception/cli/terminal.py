"""What the commands show on a terminal: lines, tables of figures, progress bars."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = ["counting_bar", "figures_table", "print_error", "print_lines", "progress_bar"]


def figures_table(title: str, first: str, heads: Iterable[str], *, wide: bool = False) -> Table:
    """Return an empty table: names to the left, figures to the right of their columns.

    wide: with rich's usual space on both sides of a column.
    """
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1) if wide else (0, 1, 0, 0),
        title=title or None,
        title_justify="left",
        title_style="bold",
    )
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table


def print_lines(console: Console, *lines: str, style: str = "", wrap: bool = False) -> None:
    """Print lines as they are; wrap: broken where the terminal ends."""
    for line in lines:
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=not wrap)


def print_error(error: Exception) -> None:
    """Print an error on standard error: one line, also for a script with a narrow terminal."""
    Console(stderr=True).print(f"error: {error}", style="bold red", markup=False, soft_wrap=True)


def progress_bar(
    console: Console, *columns: str | ProgressColumn, transient: bool = False
) -> Progress:
    """Return a bar that is seen on a terminal only: what is done, how much of it, and `columns`.

    Without columns: how long it takes. transient: whether it goes when it is done.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *(columns or (TimeElapsedColumn(),)),
        console=console,
        transient=transient,
        disable=not console.is_terminal,
    )


def counting_bar(console: Console) -> Progress:
    """Return a bar that counts, says how much time is left, and goes when all is done."""
    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    return progress_bar(console, MofNCompleteColumn(), TimeRemainingColumn(), transient=True)
