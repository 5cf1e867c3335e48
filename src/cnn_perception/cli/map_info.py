"""``cnn-perception map info``: what a map file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cnn_perception.mapping.leaves import Leaves

__all__ = ["command"]

_KINDS = {
    ".bt": "binary OcTree (.bt)",
    ".ot": "full OcTree (.ot)",
    ".vox": "cnn_perception map (.vox)",
}
_COLORED, _HEADER_BYTES = b"\nid ColorOcTree\n", 1 << 12


def command(
    file: Annotated[Path, typer.Argument(help="Map file: .bt, .ot or .vox.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Say what a map file holds: kind, resolution, cells, extent, volume, bytes."""
    import json

    facts = {**_content(file), "bytes": file.stat().st_size}
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in _lines(facts):
        typer.echo(f"{name:14} {value}")


def _content(file: Path) -> dict[str, Any]:
    """Read the file, with colors where it has them, and count and measure. Raises MapError."""
    from cnn_perception.mapping.files.storage import load_map

    if file.is_file() and _COLORED in file.read_bytes()[:_HEADER_BYTES]:
        return _colored_content(file)
    content = load_map(file)
    return {
        "kind": _KINDS[content.kind],
        "resolution": content.resolution,
        **_measures(content.leaves, content.resolution),
    }


def _colored_content(file: Path) -> dict[str, Any]:
    """Return the same for a file with a ColorOcTree, and how much has a color."""
    import numpy as np

    from cnn_perception.errors import MapError
    from cnn_perception.mapping.files.color_codec import NO_COLOR, decode_color_file

    try:
        tree, resolution = decode_color_file(file.read_bytes())
    except MapError as error:
        raise MapError(f"cannot read the map {file}: {error}") from error
    volumes = tree.leaves.spans**3
    colored = (tree.colors != NO_COLOR).any(axis=1)
    return {
        "kind": "full ColorOcTree (.ot)",
        "resolution": resolution,
        **_measures(tree.leaves, resolution),
        "colored_cells": int(volumes[colored].sum()),
        "colors": len(np.unique(tree.colors[colored], axis=0)),
    }


def _measures(leaves: Leaves, edge: float) -> dict[str, Any]:
    """Count cells of the finest size, and measure the box around all that is known."""
    import numpy as np

    from cnn_perception.mapping.keys import KEY_ORIGIN

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
        *(
            [("colored", f"{facts['colored_cells']} cells, in {facts['colors']} colors")]
            if "colors" in facts
            else []
        ),
        ("leaves", f"{facts['leaves']}, pruned"),
        ("file size", f"{facts['bytes']} bytes"),
    ]
