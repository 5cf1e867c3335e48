"""The occupancy map seen from above, as octomap_server's projected_map."""

from __future__ import annotations

import numpy as np

from cnn_perception.errors import MapError
from cnn_perception.mapping.leaves import KEY_ORIGIN, Leaves
from cnn_perception.types import GridMap2D

__all__ = ["project"]

OCCUPIED, FREE, UNKNOWN = 100, 0, -1
_LARGEST = 1 << 28


def project(leaves: Leaves, resolution: float) -> GridMap2D:
    """Return the grid over all given leaves: 100 where any is occupied, else 0, -1 where none is.

    Raises MapError for a map so wide that its grid would have more than 2^28 cells.
    """
    if len(leaves) == 0:
        return GridMap2D(np.zeros((0, 0), np.int8), (0.0, 0.0), resolution)
    corners = leaves.keys[:, :2].astype(np.int64)
    spans = leaves.spans
    low = corners.min(axis=0)
    width, height = (int(v) for v in (corners + spans[:, None]).max(axis=0) - low)
    if width * height > _LARGEST:
        raise MapError(
            f"the map is {width * resolution:.0f} m x {height * resolution:.0f} m wide: its grid "
            f"of {resolution:g} m cells is too large; limit max_range or raise the resolution"
        )
    grid = np.full(width * height, UNKNOWN, np.int8)
    for value, chosen in ((FREE, ~leaves.occupied), (OCCUPIED, leaves.occupied)):
        for span in np.unique(spans[chosen]):
            column, row = (corners[chosen & (spans == span)] - low).T
            side = np.arange(span)
            cover = (side[:, None] * width + side).ravel()
            grid[((row * width + column)[:, None] + cover).ravel()] = value
    origin = tuple((int(key) - KEY_ORIGIN) * resolution for key in low)
    return GridMap2D(grid.reshape(height, width), (origin[0], origin[1]), resolution)
