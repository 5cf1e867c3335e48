"""The expectations that were not met, as the page shows them first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn_perception.errors import MessageError
from cnn_perception.html.document import jpeg_uri
from cnn_perception.image.codec import decode_compressed
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.report.drawing import narrowed
from cnn_perception.replay.report.views import CameraView

__all__ = ["Failure", "failed_stamps", "shown_failures"]

_MOST_PICTURES = 12
_MOST_STAMPS = 24
_WIDTH = 960


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that failed. target: "view,moment" of its frame; note: why it has no picture."""

    name: str
    message: str
    when: str
    target: str
    picture: str
    note: str


def failed_stamps(checks: Sequence[Check]) -> dict[int, list[str]]:
    """Return the names of failed checks by the stamp of their frame, of the first few stamps."""
    stamps: dict[int, list[str]] = {}
    for check in checks:
        if check.passed or check.stamp_ns is None:
            continue
        if check.stamp_ns in stamps or len(stamps) < _MOST_STAMPS:
            stamps.setdefault(check.stamp_ns, []).append(check.name)
    return stamps


def shown_failures(checks: Sequence[Check], views: Sequence[CameraView]) -> list[Failure]:
    """Return what failed, in the order of the checks; the first dozen pictures are embedded."""
    failures = []
    pictures = 0
    for check in checks:
        if check.passed:
            continue
        picture, note = "", ""
        if check.picture is not None:
            if pictures < _MOST_PICTURES:
                picture, note = _embedded(check.picture)
                pictures += bool(picture)
            else:
                note = f"its picture is {check.picture}"
        when, target = _placed(check, views)
        failures.append(Failure(check.name, check.message, when, target, picture, note))
    return failures


def _placed(check: Check, views: Sequence[CameraView]) -> tuple[str, str]:
    """Return when a check's frame was, and which moment of which view it is."""
    if check.stamp_ns is None:
        return "", ""
    named = sorted(views, key=lambda view: f"/{view.name}/" not in f"/{check.name} {check.message}")
    for view in named:
        for k, moment in enumerate(view.moments):
            if moment.frame.stamp_ns == check.stamp_ns:
                seconds = view.span.seconds(moment.frame.recorded_ns)
                return f"{seconds:.2f} s", f"{views.index(view)},{k}"
    return f"{views[0].span.seconds(check.stamp_ns):.2f} s", ""


def _embedded(file: Path) -> tuple[str, str]:
    """Return a picture file as a data URI, or why it cannot be shown."""
    try:
        picture = decode_compressed(np.frombuffer(file.read_bytes(), np.uint8))
    except (OSError, MessageError) as error:
        return "", f"its picture {file.name} cannot be shown: {error}"
    return jpeg_uri(narrowed(picture, _WIDTH), 82), ""
