from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_perception.errors import ConfigError
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.training.augmentation import (
    NO_AUGMENTATION,
    AugmentationConfig,
    Augmenter,
)
from cnn_perception.offboard.training.augmentation.color import (
    color_matrix,
    hue_matrix,
    recolored,
    saturation_matrix,
)
from cnn_perception.offboard.training.augmentation.config import GEOMETRIES
from cnn_perception.offboard.training.augmentation.geometry import centers_inside, choose_window
from cnn_perception.offboard.training.augmentation.warp import FILL, warp, window_matrix
from cnn_perception.settings import settings as settings_of

BOXES = ((10, 20, 40, 60), (70, 30, 120, 90))


def scene(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (128, 96)) -> LabelledImage:
    """A dark image whose objects are bright rectangles with mask values 1, 2, ..."""
    color = np.full((size[1], size[0], 3), 20, np.uint8)
    mask = np.zeros((size[1], size[0]), np.uint8)
    for index, (x0, y0, x1, y1) in enumerate(boxes):
        color[y0:y1, x0:x1] = 220
        mask[y0:y1, x0:x1] = index + 1
    count = len(boxes)
    return LabelledImage(
        color,
        mask,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.arange(count, dtype=np.int32),
        np.zeros(count, bool),
        truncated=np.zeros(count, bool),
        crowd=np.arange(count) == 1,
        areas=np.array([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes], np.float64),
        label=7,
        name="scene",
    )


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def shown(image: LabelledImage, window: tuple[float, ...], *, flip: bool = False) -> LabelledImage:
    """What a window shows, at the size of the image."""
    size = image.mask.shape[::-1]
    return warp(image, window_matrix(np.array(window), size, flip=flip), size)


# What is drawn


@st.composite
def scenes(draw: st.DrawFn) -> LabelledImage:
    width, height = draw(st.integers(20, 150)), draw(st.integers(20, 150))
    boxes: list[tuple[int, int, int, int]] = []
    for _ in range(draw(st.integers(0, 3))):
        left, top = draw(st.integers(0, width - 8)), draw(st.integers(0, height - 8))
        right, bottom = draw(st.integers(left + 6, width)), draw(st.integers(top + 6, height))
        # Painted over, an object would show less than its box.
        if all(right <= x0 or x1 <= left or bottom <= y0 or y1 <= top for x0, y0, x1, y1 in boxes):
            boxes.append((left, top, right, bottom))
    return scene(*boxes, size=(width, height))


@given(
    image=scenes(),
    geometry=st.sampled_from(GEOMETRIES),
    size=st.tuples(st.integers(16, 120), st.integers(16, 120)),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=200, deadline=None)
def test_boxes_and_mask_agree_after_any_variation(
    image: LabelledImage, geometry: str, size: tuple[int, int], seed: int
) -> None:
    config = AugmentationConfig(geometry=geometry, zoom=1.0, distort=0.0)
    varied = Augmenter(config, size)(image, rng(seed))
    assert varied.mask.shape == size[::-1] and varied.color.shape == (*size[::-1], 3)
    assert (varied.boxes >= 0).all() and (varied.boxes <= (*size, *size)).all()
    assert (varied.boxes[:, 2:] > varied.boxes[:, :2]).all()
    assert varied.label == 7 and varied.name == "scene"
    assert varied.crowd is not None and (varied.crowd == (varied.classes == 1)).all()
    for box, class_id in zip(varied.boxes, varied.classes, strict=True):
        rows, columns = np.nonzero(varied.mask == class_id + 1)
        if len(rows) == 0:
            assert min(box[2] - box[0], box[3] - box[1]) < 1
            continue
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box, seen, atol=0.51)
        middle = varied.color[rows, columns][len(rows) // 2]
        assert len(rows) < 100 or middle.min() > 100
    again = Augmenter(config, size)(image, rng(seed))
    np.testing.assert_array_equal(varied.color, again.color)
    np.testing.assert_array_equal(varied.boxes, again.boxes)


def test_unchanged_without_variation() -> None:
    image = replace(scene(*BOXES), color=rng().integers(0, 256, (96, 128, 3)).astype(np.uint8))
    same = Augmenter(NO_AUGMENTATION, (128, 96))(image, rng())
    for name in LabelledImage.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(same, name), getattr(image, name))


def test_mirror_is_exact() -> None:
    image = replace(scene(*BOXES), color=rng().integers(0, 256, (96, 128, 3)).astype(np.uint8))
    mirrored = shown(image, (0, 0, 128, 96), flip=True)
    np.testing.assert_array_equal(mirrored.mask, image.mask[:, ::-1])
    np.testing.assert_array_equal(mirrored.color, image.color[:, ::-1])
    np.testing.assert_allclose(mirrored.boxes[0], [88, 20, 118, 60])


@pytest.mark.parametrize("factor", [2, 4])
def test_shrinking_averages(factor: int) -> None:
    """As a camera with fewer pixels would see it, and not every other pixel."""
    color = rng(1).integers(0, 256, (96, 128, 3)).astype(np.uint8)
    size = (128 // factor, 96 // factor)
    small = Augmenter(NO_AUGMENTATION, size)(replace(scene(), color=color), rng()).color
    blocks = color.reshape(size[1], factor, size[0], factor, 3).mean((1, 3))
    np.testing.assert_allclose(small, blocks, atol=1)


@pytest.mark.parametrize("size", [(320, 240), (300, 300), (100, 75), (61, 47), (31, 25)])
def test_resizing_is_close_to_area_averaging(size: tuple[int, int]) -> None:
    color = cv2.GaussianBlur(rng(2).integers(0, 256, (240, 320, 3)).astype(np.uint8), (0, 0), 3)
    image = replace(scene(size=(320, 240)), color=color)
    resized = Augmenter(NO_AUGMENTATION, size)(image, rng()).color.astype(float)
    expected = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
    assert np.abs(resized - expected).mean() < 2.5


def test_a_shrunken_crop_keeps_its_place() -> None:
    """Colors that grow along x and y tell where each pixel came from."""
    y, x = np.mgrid[:240, :320]
    color = np.stack([x // 2, y, np.zeros_like(x)], 2).astype(np.uint8)
    image = replace(scene(size=(320, 240)), color=color)
    window, size = np.array([50.5, 30.25, 290.5, 210.25]), (53, 40)
    small = warp(image, window_matrix(window, size, flip=False), size).color
    step = (window[2:] - window[:2]) / size
    middle = window[:2] + (np.array([[26, 20]]) + 0.5) * step
    np.testing.assert_allclose(small[20, 26, :2], (middle[0] - 0.5) / (2, 1), atol=1.0)


# What becomes of the labels


def test_objects_that_left_are_gone_and_cut_ones_are_marked() -> None:
    size, image = (128, 96), scene(*BOXES)

    def shifted(by: float) -> LabelledImage:
        matrix = np.array([[1.0, 0, -by], [0, 1, 0]])
        return warp(image, matrix, size, least_visible=0.35, least_side=4)

    assert shifted(33).difficult.tolist() == [True, False]
    truncated, areas = shifted(33).truncated, shifted(33).areas
    assert truncated is not None and truncated.tolist() == [True, False]
    assert areas is not None and areas.tolist() == pytest.approx([7 * 40, 50 * 60])
    assert shifted(20).difficult.tolist() == [False, False]
    assert shifted(50).classes.tolist() == [1]


def test_objects_become_difficult_when_tiny() -> None:
    small = warp(scene(*BOXES), np.diag([0.1, 0.1, 1])[:2], (128, 96), least_side=3.5)
    assert small.difficult.tolist() == [True, False]
    assert small.areas is not None and small.areas.tolist() == pytest.approx([12, 30])


def test_what_lies_outside_the_source_is_unlabelled() -> None:
    small = shown(replace(scene(), color=np.full((96, 128, 3), 250, np.uint8)), (0, 0, 256, 192))
    assert (small.mask[48:] == 255).all() and (small.mask[:48, 64:] == 255).all()
    assert (small.mask[:48, :64] == 0).all() and (small.color[:48, :64] == 250).all()
    assert (small.color[48:] == FILL).all() and (small.color[:48, 64:] == FILL).all()
    elsewhere = shown(scene(*BOXES), (200, 200, 300, 300))
    assert (elsewhere.color == FILL).all() and len(elsewhere.boxes) == 0


def test_edges_keep_their_color_when_enlarged() -> None:
    white = replace(scene(), color=np.full((96, 128, 3), 250, np.uint8))
    assert (Augmenter(NO_AUGMENTATION, (300, 300))(white, rng()).color == 250).all()


# Geometries


def windows(
    count: int, image: LabelledImage, size: tuple[int, int], **values: object
) -> np.ndarray:
    config = AugmentationConfig(**values)  # type: ignore[arg-type]
    draw = rng(5)
    return np.array([choose_window(image, size, config, draw) for _ in range(count)])


def sides(found: np.ndarray) -> np.ndarray:
    return found[:, 2:] - found[:, :2]


def test_zoom_shows_a_part_or_a_smaller_image() -> None:
    found = windows(
        500, scene(), (64, 48), geometry="zoom", zoom=1.0, zoom_min=0.5, zoom_max=2.0, stretch=1.0
    )
    share = sides(found) / (128, 96)
    assert share.min() == pytest.approx(0.5, rel=0.02) and share.max() == pytest.approx(2, rel=0.02)
    np.testing.assert_allclose(share[:, 0], share[:, 1])
    inside = (found[:, :2] >= 0).all(1) & (found[:, 2:] <= (128, 96)).all(1)
    around = (found[:, :2] <= 0).all(1) & (found[:, 2:] >= (128, 96)).all(1)
    assert (inside | around).all() and inside.any() and around.any()
    np.testing.assert_array_equal(
        windows(1, scene(), (64, 48), geometry="zoom", zoom=0.0), [[0, 0, 128, 96]]
    )


def test_scale_keeps_the_aspect_and_covers_at_one() -> None:
    found = windows(500, scene(), (50, 50), geometry="scale")
    np.testing.assert_allclose(sides(found)[:, 0], sides(found)[:, 1])
    magnification = 96 / sides(found)[:, 1]
    assert magnification.min() == pytest.approx(0.5, rel=0.02)
    assert magnification.max() == pytest.approx(2.0, rel=0.02)
    large = sides(found) > (128, 96)
    assert (np.where(large, found[:, :2] <= 0, found[:, :2] >= 0)).all()


def test_resized_crop_falls_back_to_the_middle() -> None:
    found = windows(3, scene(size=(300, 30)), (32, 32), geometry="resized_crop", area_min=0.9)
    np.testing.assert_allclose(found, [[130, 0, 170, 30]] * 3)


def test_ssd_keeps_objects_whose_middle_is_inside() -> None:
    config = AugmentationConfig(geometry="ssd", expand=0.0)
    image, left_out = scene(*BOXES), 0
    for seed in range(60):
        window = choose_window(image, (64, 64), config, rng(seed))
        kept = centers_inside(image.boxes, window)
        varied = Augmenter(config, (64, 64))(image, rng(seed))
        assert kept.any() and varied.classes.tolist() == np.flatnonzero(kept).tolist()
        left_out += len(np.unique(varied.mask)) - 1 > kept.sum()
    assert left_out > 3
    assert len(Augmenter(config, (64, 64))(scene(), rng(3)).boxes) == 0


def test_ssd_crops_are_of_any_size_within_the_limits() -> None:
    found = windows(1500, scene(*BOXES), (64, 64), geometry="ssd", expand=0.0, crop_min=0.4)
    share = sides(found)[(sides(found) != (128, 96)).any(1)] / (128, 96)
    assert 0.4 <= share.min() < 0.45 and 0.97 < share.max() < 1.0
    ratio = share[:, 0] * 128 / (share[:, 1] * 96)
    assert ratio.min() >= 0.5 and ratio.max() <= 2.0
    canvas = windows(1500, scene(*BOXES), (64, 64), geometry="ssd", expand=1.0, expand_max=3.0)
    assert 2.9 < (sides(canvas) / (128, 96)).max() <= 3.0


def test_no_unknown_geometry() -> None:
    with pytest.raises(ConfigError, match="geometry = 'mosaic': choose one of none"):
        AugmentationConfig(geometry="mosaic")
    assert all(known.description for known in settings_of(AugmentationConfig))


# Against torchvision


def test_ssd_windows_are_distributed_as_torchvisions() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    image = scene(*BOXES)
    boxes = tv_tensors.BoundingBoxes(
        torch.from_numpy(image.boxes), format="XYXY", canvas_size=(96, 128)
    )
    torch.manual_seed(0)
    crop = v2.RandomIoUCrop()
    theirs = []
    for _ in range(250):
        said = crop.make_params([torch.zeros(3, 96, 128), boxes])
        left, top = said.get("left", 0), said.get("top", 0)
        theirs.append((left, top, left + said.get("width", 128), top + said.get("height", 96)))
    ours = windows(2000, image, (64, 64), geometry="ssd", expand=0.0)
    np.testing.assert_allclose(ours.mean(0), np.mean(theirs, 0), atol=5)
    np.testing.assert_allclose(ours.std(0), np.std(theirs, 0), atol=4)
    whole = (0, 0, 128, 96)
    assert (ours == whole).all(1).mean() == pytest.approx(
        (np.array(theirs) == whole).all(1).mean(), abs=0.07
    )


@pytest.mark.parametrize("seed", range(20))
def test_same_crop_as_torchvision_same_boxes(seed: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    image = scene(*BOXES, (50, 5, 66, 15))
    boxes = tv_tensors.BoundingBoxes(
        torch.from_numpy(image.boxes), format="XYXY", canvas_size=(96, 128)
    )
    pixels = torch.from_numpy(image.color).permute(2, 0, 1)
    torch.manual_seed(seed)
    grow, crop = v2.RandomZoomOut(fill=FILL, p=1.0), v2.RandomIoUCrop()
    said = grow.make_params([pixels, boxes])
    canvas, placed = grow.transform(pixels, said), grow.transform(boxes, said)
    inner = crop.make_params([canvas, placed])
    expected = crop.transform(placed, inner)
    left, top = inner.get("left", 0), inner.get("top", 0)
    width, height = (inner.get(key, canvas.shape[k]) for key, k in (("width", 2), ("height", 1)))
    kept = inner.get("is_within_crop_area", torch.ones(3, dtype=bool)).numpy()
    corner = np.array([left - said["padding"][0], top - said["padding"][1]], np.float64)
    size = (width, height)
    window = np.concatenate([corner, corner + np.array(size)])
    np.testing.assert_array_equal(centers_inside(image.boxes, window), kept)
    ours = warp(image.only(kept), window_matrix(window, size, flip=False), size)
    np.testing.assert_array_equal(ours.boxes, expected.numpy()[kept])
    np.testing.assert_array_equal(ours.color, crop.transform(canvas, inner).permute(1, 2, 0))


def test_resized_crops_are_distributed_as_torchvisions() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    from torchvision.transforms import v2

    torch.manual_seed(0)
    crop = v2.RandomResizedCrop(32)
    said = [crop.make_params([torch.zeros(3, 96, 128)]) for _ in range(2000)]
    theirs = np.array([(s["left"], s["top"], s["width"], s["height"]) for s in said], float)
    theirs[:, 2:] += theirs[:, :2]
    ours = windows(2000, scene(), (32, 32), geometry="resized_crop")
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=2)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=2)


# Colors


def test_colors_change_but_equal_seeds_agree() -> None:
    color = rng(1).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    config = AugmentationConfig(shuffle=True, cast=0.3)
    first, second, third = (recolored(color, color_matrix(config, rng(seed))) for seed in (5, 5, 8))
    np.testing.assert_array_equal(first, second)
    assert (first != third).any() and (first != color).any()


def test_recoloring_rounds_and_limits() -> None:
    color = rng(1).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    for seed in range(20):
        matrix = color_matrix(AugmentationConfig(distort=1.0, shuffle=True, cast=0.3), rng(seed))
        exact = color @ matrix[:, :3].T + matrix[:, 3]
        np.testing.assert_allclose(recolored(color, matrix), np.clip(exact, 0, 255), atol=1)


@pytest.mark.parametrize("degrees", [-18, -7, 9, 18])
def test_hue_turns_as_in_hsv(degrees: float) -> None:
    pixels = np.clip(rng(3).integers(60, 200, (200, 3)), 0, 255).astype(np.float32) / 255
    turned = (pixels @ hue_matrix(degrees).T).astype(np.float32)
    before, after = (cv2.cvtColor(c[None], cv2.COLOR_RGB2HSV)[0] for c in (pixels, turned))
    change = (after[:, 0] - before[:, 0] + 180) % 360 - 180
    colorful = before[:, 1] > 0.2
    np.testing.assert_allclose(change[colorful], degrees, atol=2.5)
    np.testing.assert_allclose(turned.sum(1), pixels.sum(1), rtol=1e-5)
    np.testing.assert_allclose(hue_matrix(120) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_saturation_is_torchvisions() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    from torchvision.transforms.v2 import functional

    color = rng(4).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    for factor in (0.0, 0.5, 1.4):
        theirs = functional.adjust_saturation(torch.from_numpy(color).permute(2, 0, 1), factor)
        matrix = np.column_stack([saturation_matrix(factor), np.zeros(3)])
        ours = recolored(color, matrix).astype(int)
        assert np.abs(ours - theirs.permute(1, 2, 0).numpy()).max() <= 2


def test_range_of_colors_is_what_the_settings_say() -> None:
    config = AugmentationConfig(distort=1.0, saturation=0.0, hue=0.0, contrast=0.0)
    draw = rng(0)
    shifts = np.array([color_matrix(config, draw)[:, 3] for _ in range(500)])
    assert shifts.max() == pytest.approx(32, rel=0.02)
    assert shifts.min() == pytest.approx(-32, rel=0.02)
    config = replace(config, brightness=0.0, contrast=0.5)
    gains = np.array([color_matrix(config, draw)[0, 0] for _ in range(500)])
    assert gains.min() == pytest.approx(0.5, rel=0.02)
    assert gains.max() == pytest.approx(1.5, rel=0.02)
    half = np.array([color_matrix(replace(config, distort=0.5), draw)[0, 0] for _ in range(500)])
    assert (half == 1).mean() == pytest.approx(0.5, abs=0.08)
