"""Pictures and videos named on the command line, read one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cnn_perception.errors import ConfigError
from cnn_perception.types import UInt8Array

__all__ = ["PICTURES", "VIDEOS", "Source", "find_sources"]

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")


@dataclass(frozen=True, slots=True)
class Source:
    """One picture or video, and the name (without suffix, may have folders) of its results."""

    file: Path
    name: Path

    @property
    def is_video(self) -> bool:
        """Whether the file is a video, by its suffix."""
        return self.file.suffix.lower() in VIDEOS

    def picture(self) -> UInt8Array:
        """Return a picture upright, RGB uint8 (H, W, 3); raises PerceptionError or OSError."""
        data = self.file.read_bytes()
        if _is_cut(data):
            raise ConfigError("the picture is cut short: copy it again")
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if bgr is None:
            raise ConfigError("this is no picture that OpenCV can decode")
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def open_video(self) -> cv2.VideoCapture:
        """Return an open video; raises ConfigError when it cannot be decoded."""
        if not self.file.is_file():
            raise FileNotFoundError(2, "No such file or directory")
        video = cv2.VideoCapture(str(self.file))
        if not video.isOpened():
            raise ConfigError("this is no video that OpenCV can decode")
        return video


def find_sources(paths: Sequence[Path]) -> list[Source]:
    """Return the pictures and videos of files and folders, folders searched to any depth.

    Results keep the folders below a searched one; names that would be equal get a number. Raises
    ConfigError for a folder without pictures and videos. Files are not opened.
    """
    sources: list[Source] = []
    names: set[Path] = set()
    for file, name in _files(paths):
        unique, number = name, 2
        while unique in names:
            unique = name.with_name(f"{name.name}-{number}")
            number += 1
        names.add(unique)
        sources.append(Source(file, unique))
    return sources


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield each file with its name below the given path, without suffix."""
    known = (*PICTURES, *VIDEOS)
    for path in paths:
        if not path.is_dir():
            yield path, Path(path.stem)
            continue
        found = sorted(
            file for file in path.rglob("*") if file.suffix.lower() in known and file.is_file()
        )
        if not found:
            raise ConfigError(f"no pictures and no videos in {path}: known are {', '.join(known)}")
        for file in found:
            yield file, file.relative_to(path).with_suffix("")


def _is_cut(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end; the decoder would fill up with grey, silently."""
    if data.startswith(b"\xff\xd8\xff"):
        # Compressed data never hold these markers, so the last scan must be followed by an end.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data[-64:]
