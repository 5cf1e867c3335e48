"""Which bags the words of a command line mean: paths, and patterns that no shell expanded."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from cnn_perception.errors import BagError
from cnn_perception.replay.per_bag import STORAGES

__all__ = ["find_bags", "is_pattern"]

_METADATA = "metadata.yaml"


def is_pattern(word: str) -> bool:
    """Return whether a word is a glob, and no path that happens to have such letters."""
    return glob.has_magic(word) and not Path(word).exists()


def find_bags(words: Sequence[str]) -> tuple[Path, ...]:
    """Return the bags, each once, sorted by path.

    A pattern means the folders and files that look like recordings, damaged ones too. Paths are
    taken as they are; whether there is a bag shows when it is read. Raises BagError for a pattern
    without recordings and for a folder of bags, naming the pattern to give instead.
    """
    found: dict[Path, Path] = {}
    for word in words:
        for path in _matches(word) if is_pattern(word) else (_checked(Path(word)),):
            found.setdefault(path.resolve(), path)
    return tuple(sorted(found.values()))


def _matches(pattern: str) -> list[Path]:
    # Path.glob takes no absolute patterns.
    paths = [Path(name) for name in glob.glob(pattern, recursive=True)]  # noqa: PTH207
    bags = {path for path in paths if _is_recording(path)}
    # "**" finds a bag and the files in it, and the folder of what it found.
    bags -= {path for path in bags if (path.parent / _METADATA).is_file()}
    bags -= {path.parent for path in bags}
    if not bags:
        raise BagError(
            f"no bag matches {pattern!r} ({len(paths)} other files and folders do): "
            "give rosbag2 folders, .mcap or .db3 files"
        )
    return sorted(bags)


def _checked(path: Path) -> Path:
    if path.is_dir() and not (path / _METADATA).is_file():
        inside = sorted(child for child in path.iterdir() if _is_recording(child))
        folders = [child for child in inside if child.is_dir()]
        if folders or len(inside) > 1:
            pattern = path / ("*" if folders else f"*{inside[0].suffix}")
            raise BagError(
                f"{path} is no bag but holds {len(inside)}, {inside[0].name} first: "
                f"give '{pattern}'"
            )
    return path


def _is_recording(path: Path) -> bool:
    """Return whether a path looks like a bag: also one whose recorder did not finish."""
    if path.is_dir():
        return (path / _METADATA).is_file() or any(
            child.suffix in STORAGES for child in path.iterdir()
        )
    return path.suffix in STORAGES
