"""``cnn-perception map-info``: what an OctoMap file holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["command"]


def command(
    file: Annotated[Path, typer.Argument(help="Map file, .bt or .ot.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what an OctoMap file holds: kind, resolution, size, cells."""
    import json

    from cnn_perception.mapping.storage import load_map

    content = load_map(file)
    leaves, edge = content.leaves, content.resolution
    volumes = leaves.spans**3
    cells = leaves.cells(edge)
    half = cells.sizes[:, None] / 2
    low = (cells.centers - half).min(axis=0, initial=0.0 if len(cells) == 0 else float("inf"))
    high = (cells.centers + half).max(axis=0, initial=0.0 if len(cells) == 0 else -float("inf"))
    facts = {
        "kind": "binary (.bt)" if content.binary else "full (.ot)",
        "resolution": edge,
        "leaves": len(leaves),
        "occupied_cells": int(volumes[leaves.occupied].sum()),
        "free_cells": int(volumes[~leaves.occupied].sum()),
        "lower_corner": [round(float(value), 4) for value in low],
        "upper_corner": [round(float(value), 4) for value in high],
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name.replace('_', ' '):15} {value}")
