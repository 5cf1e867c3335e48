"""The loop that ``detect``, ``segment`` and ``explain`` share: files in, annotated files out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from cnn_perception.cli.inputs import Source, find_sources
from cnn_perception.cli.terminal import counting_bar, print_lines
from cnn_perception.errors import ConfigError, PerceptionError
from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.types import UInt8Array

__all__ = ["Annotation", "Annotator", "annotate", "each_source", "write_answers"]

_UNKNOWN_RATE = 25.0


@dataclass(frozen=True, slots=True)
class Annotation:
    """What came of one picture: an overlay, its answer for the JSON file, in words, and maps.

    maps: further pictures to be stored losslessly as ``<name>.<key>.png``.
    """

    overlay: UInt8Array
    record: dict[str, Any]
    words: str
    maps: dict[str, NDArray[Any]] = field(default_factory=dict)


Annotator = Callable[[UInt8Array], Annotation]


def annotate(
    paths: Sequence[Path], out: Path, kind: str, annotator: Annotator, *, print_json: bool
) -> bool:
    """Run an annotator over all pictures and videos; returns whether every file could be read.

    Writes ``<name>.<kind>.jpg`` or ``.mp4`` into `out` and all answers to ``<kind>.json`` there. A
    file that cannot be read is reported by name and does not stop the others.
    """
    console = Console(stderr=print_json)

    def work(source: Source) -> tuple[dict[str, Any], str]:
        return (_video if source.is_video else _picture)(source, out, kind, annotator)

    records, failed = each_source(paths, kind, work, console)
    write_answers(out, kind, records, print_json=print_json)
    done = len(records) - failed
    print_lines(console, f"{done} of {len(records)} files done, results in {out}")
    return failed == 0


def each_source(
    paths: Sequence[Path],
    kind: str,
    work: Callable[[Source], tuple[dict[str, Any], str]],
    console: Console,
) -> tuple[list[dict[str, Any]], int]:
    """Return a record of each picture and video, and how many of them could not be read.

    work: returns the record of one, and what to say about it. A file for which it raises
    PerceptionError or OSError is reported by name and does not stop the others.
    """
    sources = find_sources(paths)
    errors = Console(stderr=True)
    records: list[dict[str, Any]] = []
    failed = 0
    with counting_bar(console) as progress:
        task = progress.add_task(kind, total=len(sources))
        for source in sources:
            try:
                record, words = work(source)
            except (PerceptionError, OSError) as error:
                failed += 1
                text = error.strerror if isinstance(error, OSError) else str(error)
                record = {"file": str(source.file), "error": text}
                errors.print(f"{source.file}: {text}", style="red", markup=False, soft_wrap=True)
            else:
                print_lines(console, f"{source.file}: {words}")
            records.append(record)
            progress.advance(task)
    return records, failed


def write_answers(out: Path, kind: str, answers: Any, *, print_json: bool) -> None:
    """Write answers to ``<kind>.json``, and on standard output too if they are wanted there."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(answers, indent=1)
    (out / f"{kind}.json").write_text(f"{text}\n", encoding="utf-8")
    if print_json:
        Console(soft_wrap=True).out(text, highlight=False)


def _picture(
    source: Source, out: Path, kind: str, annotator: Annotator
) -> tuple[dict[str, Any], str]:
    """Annotate one picture; returns its record and what to say about it."""
    rgb = source.picture()
    result = annotator(rgb)
    target = _target(out, source, f".{kind}.jpg")
    target.write_bytes(encode_jpeg(result.overlay))
    for key, values in result.maps.items():
        _target(out, source, f".{key}.png").write_bytes(encode_png(values))
    height, width = rgb.shape[:2]
    record = {"file": str(source.file), "width": width, "height": height, **result.record}
    return record, result.words


def _video(
    source: Source, out: Path, kind: str, annotator: Annotator
) -> tuple[dict[str, Any], str]:
    """Annotate one video, frame by frame; maps go into a folder per key."""
    video = source.open_video()
    rate = video.get(cv2.CAP_PROP_FPS)
    rate = rate if 0 < rate < 1000 else _UNKNOWN_RATE
    target = _target(out, source, f".{kind}.mp4")
    writer: cv2.VideoWriter | None = None
    frames: list[dict[str, Any]] = []
    width = height = 0
    try:
        while True:
            ok, bgr = video.read()
            if not ok:
                break
            result = annotator(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8))
            if writer is None:
                height, width = bgr.shape[:2]
                writer = _open_writer(target, rate, result.overlay.shape[1::-1])
            writer.write(cv2.cvtColor(result.overlay, cv2.COLOR_RGB2BGR))
            index = len(frames)
            for key, values in result.maps.items():
                png = _target(out, source, f".{key}/{index:06d}.png")
                png.write_bytes(encode_png(values))
            frames.append({"frame": index, "seconds": round(index / rate, 6), **result.record})
    finally:
        video.release()
        if writer is not None:
            writer.release()
    if not frames:
        raise ConfigError("the video has no frame that can be decoded")
    record = {"file": str(source.file), "width": width, "height": height, "rate": rate}
    return {**record, "frames": frames}, f"{len(frames)} frames"


def _open_writer(target: Path, rate: float, size: tuple[int, int]) -> cv2.VideoWriter:
    writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        raise ConfigError(f"{target} cannot be written: this OpenCV has no MPEG-4 encoder")
    return writer


def _target(out: Path, source: Source, suffix: str) -> Path:
    """Return the path of a result; its folder is made."""
    target = out / source.name.parent / f"{source.name.name}{suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
