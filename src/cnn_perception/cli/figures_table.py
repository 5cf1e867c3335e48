"""How commands print figures: a table of names to the left and numbers to the right."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table

__all__ = ["figures_table"]


def figures_table(title: str, first: str, heads: Iterable[str]) -> Table:
    """Return an empty table: names to the left, figures to the right of their columns."""
    table = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=title or None,
        title_justify="left",
        title_style="bold",
    )
    table.add_column(first, no_wrap=True)
    for head in heads:
        table.add_column(head, justify="right", no_wrap=True)
    return table
