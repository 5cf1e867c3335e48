"""Small data sets on disk from which a small network learns in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dataset_trees import palette_png, voc_xml, write_picture

SIDE = 64

RED, BLUE = (210, 40, 40), (50, 70, 220)


def _background(rng: np.random.Generator, side: int) -> NDArray[np.uint8]:
    return rng.integers(90, 150, (side, side, 3)).astype(np.uint8)


def write_squares(root: Path, images: int, split: str, seed: int = 0) -> Path:
    """Add a list of images, with a cat (a red square) and a dog (a blue disc) each, to a VOC tree.

    Masks have cats as 8 and dogs as 12, and a border of unlabelled pixels.
    """
    rng = np.random.default_rng(seed)
    folders = ("Annotations", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation")
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    names = []
    for index in range(images):
        name = f"{split}_{index:03d}"
        rgb, mask = _background(rng, SIDE), np.zeros((SIDE, SIDE), np.uint8)
        size = int(rng.integers(20, 28))
        # One in each half, so that neither hides the other.
        left, right = (int(x) for x in rng.integers(2, SIDE // 2 - size, 2))
        top, below = (int(y) for y in rng.integers(2, SIDE - size - 2, 2))
        right += SIDE // 2
        square = (left, top, left + size, top + size)
        disc = (right, below, right + size, below + size)
        if rng.random() < 0.5:
            square, disc = disc, square
        cv2.rectangle(rgb, square[:2], _inner(square), RED, -1)
        cv2.rectangle(mask, square[:2], _inner(square), 8, -1)
        center = ((disc[0] + disc[2]) // 2, (disc[1] + disc[3]) // 2)
        cv2.circle(rgb, center, size // 2, BLUE, -1)
        cv2.circle(mask, center, size // 2, 12, -1)
        cv2.circle(mask, center, size // 2, 255, 1)
        write_picture(root / "JPEGImages" / f"{name}.png", rgb)
        objects = [("cat", _voc(square), False, False), ("dog", _voc(disc), False, False)]
        (root / "Annotations" / f"{name}.xml").write_text(voc_xml(objects, (SIDE, SIDE)))
        (root / "SegmentationClass" / f"{name}.png").write_bytes(palette_png(mask))
        names.append(name)
    for kind in ("Main", "Segmentation"):
        (root / "ImageSets" / kind / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root


def write_stripes(root: Path, images: int, split: str, seed: int = 0) -> Path:
    """Add a split of a folder per class: stripes that fall, rise or lie."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for name, phase in (("falling", columns - rows), ("rising", columns + rows), ("lying", rows)):
        for index in range(images):
            wave = np.sin(phase * rng.uniform(0.35, 0.6) + rng.uniform(0, 6))
            rgb = 128 + 70 * wave[..., None] * rng.uniform(0.5, 1, 3) + rng.normal(0, 8, (1, 1, 3))
            path = root / split / name / f"{index:03d}.png"
            write_picture(path, np.clip(rgb, 0, 255).astype(np.uint8))
    return root


def _inner(box: tuple[int, int, int, int]) -> tuple[int, int]:
    return box[2] - 1, box[3] - 1


def _voc(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """VOC counts pixels from 1, and the last one in."""
    return box[0] + 1, box[1] + 1, box[2], box[3]
