"""Map files on disk: .bt and .ot, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cnn_perception.errors import MapError
from cnn_perception.mapping.leaves import Leaves
from cnn_perception.mapping.octomap_codec import MapFile, decode_file, encode_file

__all__ = ["load_map", "save_map"]


def save_map(leaves: Leaves, resolution: float, path: Path) -> None:
    """Write an OctoMap file: .bt holds occupied and free, .ot the full log-odds.

    A reader sees the old file or the new one, never a part. Raises MapError for other suffixes and
    for a path that cannot be written.
    """
    if path.suffix not in (".bt", ".ot"):
        raise MapError(f"cannot save a map as {path}: its name must end in .bt or .ot")
    content = encode_file(leaves, resolution, binary=path.suffix == ".bt")
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise MapError(f"cannot save a map as {path}: {error.strerror or error}") from error


def load_map(path: Path, free: float = -1.0, occupied: float = 1.0) -> MapFile:
    """Read an OctoMap file; cells of a .bt get the log-odds `free` or `occupied`.

    Raises MapError for a file that is missing, damaged, or holds another kind of tree.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MapError(f"cannot read the map {path}: {error.strerror or error}") from error
    try:
        return decode_file(content, free, occupied)
    except MapError as error:
        raise MapError(f"cannot read the map {path}: {error}") from error
