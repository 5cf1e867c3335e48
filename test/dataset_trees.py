"""Small data sets on disk, written by the tests that read them."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cnn_perception.offboard.datasets.label_png import voc_palette

WIDTH, HEIGHT = 40, 30


def picture(seed: int) -> NDArray[np.uint8]:
    """RGB noise of WIDTH x HEIGHT, which PNG keeps exactly."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def write_picture(path: Path, rgb: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), rgb[:, :, ::-1])


def palette_png(mask: NDArray[np.uint8], depth: int = 8) -> bytes:
    """A palette PNG with VOC's colors, which OpenCV cannot write."""
    bits = np.unpackbits(mask[:, :, None], axis=2)[:, :, 8 - depth :]
    rows = np.packbits(bits.reshape(len(mask), -1), axis=1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], depth, 3, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"PLTE", voc_palette()[: 1 << depth].tobytes()),
        (b"tEXt", b"Comment\0not a pixel"),
        (b"IDAT", zlib.compress(raw)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def voc_xml(
    objects: Sequence[tuple[str, Sequence[float], bool, bool]], size: tuple[int, int]
) -> str:
    """An annotation: (name, (xmin, ymin, xmax, ymax), difficult, truncated) per object."""
    items = ""
    for name, box, difficult, truncated in objects:
        left, top, right, bottom = box
        # Files of 2012 have the corners in this order, and boxes of parts.
        items += (
            f"<object><name>{name}</name><truncated>{int(truncated)}</truncated>"
            f"<difficult>{int(difficult)}</difficult><bndbox><xmax>{right}</xmax>"
            f"<xmin>{left}</xmin><ymax>{bottom}</ymax><ymin>{top}</ymin></bndbox>"
            "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part></object>"
        )
    sides = f"<width>{size[0]}</width><height>{size[1]}</height>"
    return f"<annotation><size>{sides}</size>{items}</annotation>"


VOC_OBJECTS: Mapping[str, Sequence[tuple[str, Sequence[float], bool, bool]]] = {
    "2007_000001": [
        ("dog", (1, 1, WIDTH, HEIGHT), False, True),
        ("sofa", (5, 6, 20, 25), True, False),
    ],
    "2007_000002": [],
    "2007_000003": [("person", (3.5, 4.25, 11, 12), False, False)],
}


def write_voc(root: Path) -> Path:
    """Three images with boxes, two of them with masks, in lists named val."""
    for folder in ("Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for seed, (name, objects) in enumerate(VOC_OBJECTS.items()):
        write_picture(root / "JPEGImages" / f"{name}.png", picture(seed))
        text = voc_xml(objects, (WIDTH, HEIGHT))
        (root / "Annotations" / f"{name}.xml").write_text(text, encoding="utf-8")
    names = list(VOC_OBJECTS)
    for seed, name in enumerate(names[:2]):
        (root / "SegmentationClass" / f"{name}.png").write_bytes(palette_png(voc_mask(seed)))
    (root / "ImageSets/Main/val.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    (root / "ImageSets/Main/dog_val.txt").write_text(f"{names[0]}  1\n{names[1]} -1\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("\n".join(names[:2]), encoding="utf-8")
    return root


def voc_mask(seed: int) -> NDArray[np.uint8]:
    """Random class ids and some border."""
    rng = np.random.default_rng(seed)
    return rng.choice([0, 1, 12, 18, 20, 255], (HEIGHT, WIDTH)).astype(np.uint8)


COCO_CATEGORIES = ((90, "toothbrush"), (1, "person"), (13, "stop sign"), (18, "dog"))


def coco_content() -> dict[str, Any]:
    """Instances of three images: polygons, both kinds of run lengths, a crowd, nothing."""
    shapes = {"width": WIDTH, "height": HEIGHT}
    square = [[2.0, 3.0, 12.5, 3.0, 12.5, 14.0, 2.0, 14.0], [20, 2, 30, 2, 25, 9]]
    runs = [30 * 20, 60, 30 * 18]
    return {
        "images": [{"id": 7 * k, "file_name": f"{k:012d}.png", **shapes} for k in range(3)],
        "categories": [{"id": key, "name": name} for key, name in COCO_CATEGORIES],
        "annotations": [
            _instance(1, 7, 18, [2, 3, 28, 11.5], square),
            _instance(2, 7, 1, [20, 0, 2, 30], {"size": [HEIGHT, WIDTH], "counts": runs}, crowd=1),
            _instance(3, 0, 90, [30.5, 20, 9.75, 10.5], [[30.5, 20, 40.25, 20, 35, 30.5]]),
        ],
    }


def _instance(
    key: int, image: int, category: int, box: list[float], segmentation: Any, crowd: int = 0
) -> dict[str, Any]:
    return {
        "id": key,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": crowd,
        "segmentation": segmentation,
    }


def write_coco(root: Path, content: Mapping[str, Any] | None = None) -> Path:
    """Write annotations/instances_val2017.json and val2017/; returns root."""
    (root / "annotations").mkdir(parents=True)
    text = json.dumps(content or coco_content())
    (root / "annotations" / "instances_val2017.json").write_text(text, encoding="utf-8")
    for seed in range(3):
        write_picture(root / "val2017" / f"{seed:012d}.png", picture(seed))
    return root
