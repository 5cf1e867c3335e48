"""``cnn-perception map info``: what a map file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cnn_perception.mapping.leaves import Leaves

__all__ = ["command"]


def command(
    file: Annotated[Path, typer.Argument(help="Map file: .bt, .ot or .vox.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what a map file holds: kind, resolution, cells, extent, volume, bytes."""
    import json

    from cnn_perception.mapping.storage import load_map

    content = load_map(file)
    facts = {
        "kind": "binary OcTree (.bt)" if content.binary else "full OcTree (.ot)",
        "resolution": content.resolution,
        **_measures(content.leaves, content.resolution),
        "bytes": file.stat().st_size,
    }
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in _lines(facts):
        typer.echo(f"{name:14} {value}")


def _measures(leaves: Leaves, edge: float) -> dict[str, Any]:
    """Count cells of the finest size, and measure the box around all that is known."""
    import numpy as np

    from cnn_perception.mapping.leaves import KEY_ORIGIN

    volumes = leaves.spans**3
    occupied = int(volumes[leaves.occupied].sum())
    known = int(volumes.sum())
    first = leaves.keys.astype(np.int64) - KEY_ORIGIN
    low, high = np.zeros(3), np.zeros(3)
    if len(leaves):
        low, high = first.min(axis=0) * edge, (first + leaves.spans[:, None]).max(axis=0) * edge
    return {
        "leaves": len(leaves),
        "occupied_cells": occupied,
        "free_cells": known - occupied,
        "lower_corner": [round(float(value), 4) for value in low],
        "upper_corner": [round(float(value), 4) for value in high],
        "extent": [round(float(value), 4) for value in high - low],
        "occupied_volume": round(occupied * edge**3, 6),
        "known_volume": round(known * edge**3, 6),
    }


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the same for people: with units, and corners as one box."""

    def metres(values: list[float], between: str) -> str:
        return between.join(f"{value:g}" for value in values)

    low, high = metres(facts["lower_corner"], ", "), metres(facts["upper_corner"], ", ")
    return [
        ("kind", facts["kind"]),
        ("resolution", f"{facts['resolution']:g} m"),
        ("occupied", f"{facts['occupied_cells']} cells, {facts['occupied_volume']:.3f} m3"),
        ("free", f"{facts['free_cells']} cells"),
        ("known volume", f"{facts['known_volume']:.3f} m3"),
        ("extent", f"{metres(facts['extent'], ' x ')} m, from ({low}) to ({high})"),
        ("leaves", f"{facts['leaves']}, pruned"),
        ("file size", f"{facts['bytes']} bytes"),
    ]
