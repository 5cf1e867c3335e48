"""Both pictures of a saved map."""

from __future__ import annotations

from pathlib import Path

from cnn_perception.mapping.files.octomap_codec import decode_file
from cnn_perception.mapping.pictures.cell_grid import ceiling
from cnn_perception.mapping.pictures.views import render_isometric, render_top
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["map_pictures"]


def map_pictures(map_file: Path, camera_path: Float32Array) -> dict[str, UInt8Array]:
    """Return pictures of a .bt or .ot file: ``isometric`` and ``top``. Raises MapError.

    camera_path: float32 (N, 3) metres, where the camera was; a ceiling above it is left out.
    """
    saved = decode_file(map_file.read_bytes())
    occupied = saved.leaves.select(saved.leaves.occupied).cells(saved.resolution)
    free = saved.leaves.select(~saved.leaves.occupied).cells(saved.resolution)
    below = ceiling(occupied, camera_path)
    return {
        "isometric": render_isometric(occupied, camera_path=camera_path, below=below),
        "top": render_top(occupied, free, camera_path=camera_path, below=below),
    }
