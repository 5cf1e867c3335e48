"""Pictures of a demonstration, made from its two bags: chosen moments, and the map."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cnn_perception.errors import PerceptionError
from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.mapping.files.octomap_codec import decode_binary
from cnn_perception.mapping.pictures.views import render_isometric
from cnn_perception.messages.decode import decode_color
from cnn_perception.messages.stamps import header_stamp_ns, stamp_to_ns
from cnn_perception.recording.bag import BagReader
from cnn_perception.types import UInt8Array

__all__ = [
    "Moment",
    "choose_moments",
    "contact_sheet",
    "write_pictures",
]

OVERLAYS = {
    "detections": "/detector/overlay",
    "mask": "/segmenter/overlay",
    "Grad-CAM": "/explainer/overlay",
}
_DETECTIONS = "/detector/detections"
_MAP = "/octomap_binary"
_GAP = 6
_TITLE = 28
_INK = (40, 48, 60)


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """What was seen, published and known at the stamp of one image: titled RGB pictures."""

    stamp_ns: int
    pictures: Mapping[str, UInt8Array]


def choose_moments(drive: Path, color_topic: str, results: Path, count: int) -> list[Moment]:
    """Return up to `count` moments spread over the drive, each the liveliest of its part.

    Raises PerceptionError when no image has all three overlays.
    """
    with BagReader(drive) as source, BagReader(results) as answers:
        stamps = _chosen_stamps(answers, count)
        camera = _images(source, color_topic, stamps)
        overlays = {title: _images(answers, topic, stamps) for title, topic in OVERLAYS.items()}
        maps = _maps_at(answers, stamps)
    return [
        Moment(
            stamp,
            {
                "camera": camera[stamp],
                **{title: images[stamp] for title, images in overlays.items()},
                **({"map so far": maps[stamp]} if stamp in maps else {}),
            },
        )
        for stamp in stamps
        if stamp in camera
    ]


def contact_sheet(moments: Sequence[Moment]) -> UInt8Array:
    """Return all moments as one picture: a row each, a titled column for each kind."""
    height, width = next(iter(moments[0].pictures.values())).shape[:2]
    titles = list(moments[-1].pictures)
    nothing = np.full((1, 1, 3), 255, np.uint8)
    rows = [
        [_fitted(moment.pictures.get(title, nothing), height, width) for title in titles]
        for moment in moments
    ]
    sheet = np.full(
        (
            _TITLE + len(rows) * (height + _GAP),
            len(titles) * (width + _GAP) + _GAP,
            3,
        ),
        255,
        np.uint8,
    )
    for j, title in enumerate(titles):
        x = _GAP + j * (width + _GAP)
        place = (x + 2, _TITLE - 9)
        cv2.putText(sheet, title, place, cv2.FONT_HERSHEY_DUPLEX, 0.55, _INK, 1, cv2.LINE_AA)
        for i, row in enumerate(rows):
            y = _TITLE + i * (height + _GAP)
            sheet[y : y + height, x : x + width] = row[j]
    return sheet


def write_pictures(out: Path, moments: Sequence[Moment], maps: Mapping[str, UInt8Array]) -> None:
    """Write contact_sheet.jpg, overlays/ and map_*.png into the folder `out`."""
    folder = out / "overlays"
    folder.mkdir(exist_ok=True)
    (out / "contact_sheet.jpg").write_bytes(encode_jpeg(contact_sheet(moments)))
    for index, moment in enumerate(moments):
        for title, picture in moment.pictures.items():
            name = f"{index:02d}_{title.lower().replace(' ', '_')}.jpg"
            (folder / name).write_bytes(encode_jpeg(picture))
    for name, picture in maps.items():
        (out / f"map_{name}.png").write_bytes(encode_png(picture))


def _chosen_stamps(answers: BagReader, count: int) -> list[int]:
    found = {topic: set[int]() for topic in OVERLAYS.values()}
    for raw in answers.raw_messages(found):
        found[raw.topic].add(header_stamp_ns(raw.data))
    common = sorted(set.intersection(*found.values()))
    if not common:
        raise PerceptionError("no image was detected in, segmented and explained: see the logs")
    objects = {
        stamp_to_ns(record.message.header.stamp): len(record.message.detections)
        for record in answers.messages([_DETECTIONS])
    }
    parts = np.array_split(np.array(common, np.int64), min(count, len(common)))
    return [max(part.tolist(), key=lambda stamp: objects.get(stamp, 0)) for part in parts]


def _images(bag: BagReader, topic: str, stamps: Collection[int]) -> dict[int, UInt8Array]:
    images = {}
    for raw in bag.raw_messages([topic]):
        stamp = header_stamp_ns(raw.data)
        if stamp in stamps:
            images[stamp] = decode_color(bag.deserialize(raw))
    return images


def _maps_at(answers: BagReader, stamps: Sequence[int]) -> dict[int, UInt8Array]:
    """Return the newest published map at each stamp, as a picture; none before the first map."""
    published = {header_stamp_ns(raw.data): raw for raw in answers.raw_messages([_MAP])}
    pictures = {}
    for stamp in stamps:
        known = [at for at in published if at <= stamp]
        if known:
            message = answers.deserialize(published[max(known)])
            leaves = decode_binary(np.asarray(message.data).tobytes())
            occupied = leaves.select(leaves.occupied)
            if len(occupied):
                cells = occupied.cells(message.resolution)
                pictures[stamp] = render_isometric(cells, width=640, height=480)
    return pictures


def _fitted(picture: UInt8Array, height: int, width: int) -> UInt8Array:
    """Scale a picture into a cell, keeping its shape, on white."""
    scale = min(height / picture.shape[0], width / picture.shape[1])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    cell = np.full((height, width, 3), 255, np.uint8)
    y, x = (height - size[1]) // 2, (width - size[0]) // 2
    cell[y : y + size[1], x : x + size[0]] = small
    return cell
