"""Map files on disk, .bt, .ot and .vox: written whole or not at all."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnn_perception.config import MapperConfig
from cnn_perception.errors import MapError
from cnn_perception.mapping.files.octomap_codec import MapFile, decode_file, wrap
from cnn_perception.mapping.files.voxel_file import (
    decode_voxel_file,
    encode_voxel_file,
    is_voxel_file,
)
from cnn_perception.mapping.sensor_model import log_odds

__all__ = ["check_suffix", "continue_map", "load_map", "save_map", "sensor_notes"]

_log = logging.getLogger(__name__)
_SUFFIXES = (".bt", ".ot", ".vox")


def check_suffix(path: Path) -> None:
    """Raise MapError unless a name ends as one of the kinds of map files does."""
    if path.suffix not in _SUFFIXES:
        raise MapError(f"cannot save a map as {path}: its name must end in .bt, .ot or .vox")


def save_map(
    encode: Callable[[bool], bytes],
    resolution: float,
    path: Path,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write a map file: .bt holds occupied and free, .ot and .vox the full log-odds.

    encode: returns the map's .bt data section for true, its .ot data section for false. notes: what
    a .vox file says beside the map, as JSON can hold it. A reader sees the old file or the new one,
    never a part, whatever happens meanwhile. Raises MapError for other suffixes and for a path that
    cannot be written.
    """
    check_suffix(path)
    data = encode(path.suffix == ".bt")
    if path.suffix == ".vox":
        content = encode_voxel_file(data, resolution, notes or {})
    else:
        content = wrap(data, resolution, binary=path.suffix == ".bt")
    try:
        _replace(path, content)
    except OSError as error:
        raise MapError(f"cannot save a map as {path}: {error.strerror or error}") from error


def load_map(path: Path, free: float = -1.0, occupied: float = 1.0) -> MapFile:
    """Read a map file, whatever its name; cells of a .bt get the log-odds `free` or `occupied`.

    Raises MapError for a file that is missing, damaged, or holds another kind of tree.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise MapError(f"cannot read the map {path}: {error.strerror or error}") from error
    try:
        if is_voxel_file(content):
            return decode_voxel_file(content)
        return decode_file(content, free, occupied)
    except MapError as error:
        raise MapError(f"cannot read the map {path}: {error}") from error


def continue_map(path: Path, config: MapperConfig) -> MapFile:
    """Read a map that scans go into: what it only calls free or occupied gets the limits.

    Raises MapError as `load_map`; a map that was made with another sensor model is logged.
    """
    loaded = load_map(path, float(log_odds(config.clamp_min)), float(log_odds(config.clamp_max)))
    goes_on = sensor_notes(config)["sensor_model"]
    made_with = loaded.notes.get("sensor_model", goes_on)
    if made_with != goes_on:
        text = "the map %s was made with the sensor model %s and goes on with %s"
        _log.warning(text, path, made_with, goes_on)
    return loaded


def sensor_notes(config: MapperConfig) -> dict[str, Any]:
    """Return what a .vox file notes of how its map was made."""
    names = ("probability_hit", "probability_miss", "clamp_min", "clamp_max")
    return {"sensor_model": {name: getattr(config, name) for name in names}}


def _replace(path: Path, content: bytes) -> None:
    """Write a file under another name, then give it its own, so that both survive a power cut."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
