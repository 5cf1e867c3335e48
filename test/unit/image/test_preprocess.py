"""Network input against a plain numpy reference, and its inverse as a roundtrip."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.image.preprocess import InputSpec, Placement, Preprocessor, place
from cnn_perception.types import Float32Array, UInt8Array

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
SIZES = [(640, 480), (480, 640), (320, 240), (256, 192), (33, 7), (1, 1), (1, 200)]


def _picture(width: int, height: int, seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _reference(rgb: UInt8Array, spec: InputSpec, placement: Placement) -> Float32Array:
    canvas = np.full((spec.height, spec.width, 3), 114, np.uint8)
    (x, y), (width, height) = placement.offset, placement.inner
    canvas[y : y + height, x : x + width] = cv2.resize(rgb, (width, height))
    if spec.channels == "bgr":
        canvas = canvas[:, :, ::-1]
    normalised = (canvas.astype(np.float64) - spec.mean) / spec.std
    return normalised.transpose(2, 0, 1)[None].astype(np.float32)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("size", SIZES)
def test_tensor_is_the_reference(size: tuple[int, int], resize: str, channels: str) -> None:
    spec = InputSpec("image", 256, 192, channels, resize, MEAN, STD)
    rgb = _picture(*size)
    tensor, placement = Preprocessor(spec)(rgb)
    assert tensor.shape == (1, 3, 192, 256)
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    np.testing.assert_array_equal(tensor, _reference(rgb, spec, placement))


def test_source_size_may_change_between_calls() -> None:
    """Bars left by an earlier, wider picture must not survive."""
    spec = InputSpec("image", 64, 64, resize="letterbox")
    preprocess = Preprocessor(spec)
    for size in [(200, 50), (50, 200), (64, 64), (200, 50), (31, 30)]:
        rgb = _picture(*size)
        tensor, placement = preprocess(rgb)
        np.testing.assert_array_equal(tensor, _reference(rgb, spec, placement))
        assert placement.source == size


def test_strided_pictures_are_taken_as_they_are() -> None:
    spec = InputSpec("image", 64, 48)
    rgb = _picture(200, 100)
    for view in (rgb[::2, ::-1], rgb[:, :, ::-1], rgb.transpose(1, 0, 2), rgb[10:48, 3:67]):
        expected, _ = Preprocessor(spec)(view.copy())
        tensor, _ = Preprocessor(spec)(view)
        np.testing.assert_array_equal(tensor, expected)


def test_read_only_pictures_are_taken() -> None:
    rgb = _picture(64, 48)
    rgb.flags.writeable = False
    tensor, _ = Preprocessor(InputSpec("image", 32, 32))(rgb)
    assert np.isfinite(tensor).all()


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(bad: UInt8Array) -> None:
    with pytest.raises(ConfigError, match="give RGB uint8"):
        Preprocessor(InputSpec("image", 32, 32))(bad)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"width": 0}, "width = 0: give a whole number, 1 to 8192"),
        ({"channels": "gray"}, "choose one of rgb, bgr"),
        ({"resize": "tile"}, "choose one of stretch, letterbox, crop"),
        ({"resize": "crop"}, "shorter_side = None: crop needs it"),
        ({"shorter_side": 256}, "'stretch' with shorter_side = 256"),
        ({"resize": "crop", "shorter_side": 255}, "255 does not cover 256x192: give 256 or more"),
        ({"mean": (0.0, 0.0)}, "give 3 numbers"),
        ({"mean": (0.0, 0.0, float("nan"))}, r"mean\[2\] = nan: give a number from"),
        ({"std": (1.0, 0.0, 1.0)}, r"std\[1\] = 0.0: give a number from 1e-09"),
    ],
)
def test_bad_specs_are_refused(change: dict[str, object], text: str) -> None:
    values: dict[str, object] = {"name": "image", "width": 256, "height": 192, **change}
    with pytest.raises(ConfigError, match=text):
        InputSpec(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("resize", "shorter"), [("stretch", None), ("letterbox", None), ("crop", 320)]
)
@pytest.mark.parametrize("size", SIZES)
def test_boxes_come_back(size: tuple[int, int], resize: str, shorter: int | None) -> None:
    spec = InputSpec("image", 300, 200, resize=resize, shorter_side=shorter)
    placement = place(spec, *size)
    rng = np.random.default_rng(1)
    boxes = np.sort(rng.uniform(0, 1, (50, 2, 2)), axis=1).reshape(50, 4)
    boxes = (boxes * (size * 2)).astype(np.float32)
    again = placement.boxes_to_source(placement.boxes_to_input(boxes))
    np.testing.assert_allclose(again, boxes, atol=max(size) * 1e-5)


def test_boxes_are_clipped_to_the_image() -> None:
    placement = place(InputSpec("image", 100, 100, resize="letterbox"), 200, 100)
    assert placement.offset == (0, 25)
    source = placement.boxes_to_source(np.array([[-10, 0, 120, 100]], np.float32))
    np.testing.assert_array_equal(source, [[0, 0, 200, 100]])
    assert placement.boxes_to_source(np.zeros((0, 4), np.float32)).shape == (0, 4)


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.bool_])
def test_labels_fall_back_onto_the_picture(dtype: type, resize: str) -> None:
    """A mask of two halves, however it was scaled, has its edge within one cell of the middle."""
    placement = place(InputSpec("image", 64, 64, resize=resize), 640, 320)
    (x, _), (width, _) = placement.offset, placement.inner
    mask = np.zeros((64, 64), dtype)
    mask[:, x + width // 2 :] = 1
    source = placement.map_to_source(mask, "nearest")
    assert source.shape == (320, 640)
    assert source.dtype == dtype
    np.testing.assert_array_equal(source, np.broadcast_to(np.arange(640) >= 320, (320, 640)))


def test_coarse_heat_keeps_its_place_in_a_letterbox() -> None:
    placement = place(InputSpec("image", 128, 128, resize="letterbox"), 400, 200)
    y, x = np.mgrid[:16, :16]
    heat = np.exp(-((x - 5) ** 2 + (y - 7) ** 2) / 4).astype(np.float32)
    source = placement.map_to_source(heat)
    assert source.shape == (200, 400)
    row, column = np.unravel_index(np.argmax(source), source.shape)
    # The middle of cell (5, 7) of 16 is (44, 60) of 128 input pixels: (137.5, 87.5) of the source.
    assert abs(column + 0.5 - 137.5) <= 1.5
    assert abs(row + 0.5 - 87.5) <= 1.5


def test_map_of_the_sources_size_is_copied() -> None:
    placement = place(InputSpec("image", 32, 32), 32, 32)
    heat = np.random.default_rng(2).random((32, 32)).astype(np.float32)
    source = placement.map_to_source(heat)
    np.testing.assert_array_equal(source, heat)
    assert not np.shares_memory(source, heat)


def test_channels_are_mapped_together() -> None:
    placement = place(InputSpec("image", 32, 32, resize="letterbox"), 40, 20)
    logits = np.random.default_rng(3).random((8, 8, 4)).astype(np.float32)
    source = placement.map_to_source(logits)
    for channel in range(4):
        one = placement.map_to_source(logits[:, :, channel])
        np.testing.assert_allclose(source[:, :, channel], one, atol=1e-6)


def test_labels_are_not_interpolated() -> None:
    placement = place(InputSpec("image", 32, 32), 40, 20)
    with pytest.raises(ConfigError, match="map of int32 cannot be interpolated: use nearest"):
        placement.map_to_source(np.zeros((8, 8), np.int32), "linear")


def test_crop_cuts_out_the_centre() -> None:
    picture = _picture(61, 40)
    spec = InputSpec("image", 32, 24, resize="crop", shorter_side=40)
    tensor, placement = Preprocessor(spec)(picture)
    np.testing.assert_array_equal(tensor[0].transpose(1, 2, 0), picture[8:32, 14:46])
    np.testing.assert_array_equal(
        placement.boxes_to_input(np.array([[14, 8, 46, 32]], np.float32)), [[0, 0, 32, 24]]
    )


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (100, 77), (3, 2000)])
def test_crop_is_the_resized_picture_cut(size: tuple[int, int]) -> None:
    """On a ramp, the first and the last column tell what is seen, to a pixel of the source."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    picture = np.stack([x, y, x], axis=2).round().astype(np.uint8)
    spec = InputSpec("image", 224, 224, resize="crop", shorter_side=256)
    tensor, _ = Preprocessor(spec)(picture)
    for channel, length in ((0, size[0]), (1, size[1])):
        half = 127.5 * 224 / 256 * min(size) / length
        line = tensor[0, channel].mean(axis=channel)
        tolerance = 255 / (length - 1) + 1
        assert line[0] == pytest.approx(127.5 - half, abs=tolerance)
        assert line[-1] == pytest.approx(127.5 + half, abs=tolerance)


def test_crop_averages_when_it_shrinks() -> None:
    checkers = np.indices((96, 96)).sum(axis=0) % 2 * 255
    picture = np.repeat(checkers[:, :, None], 3, axis=2).astype(np.uint8)
    crop = InputSpec("image", 32, 32, resize="crop", shorter_side=32)
    np.testing.assert_allclose(Preprocessor(crop)(picture)[0], 127.5, atol=15)
    assert np.ptp(Preprocessor(InputSpec("image", 32, 32))(picture)[0]) > 200


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_map_of_a_crop_is_empty_around_it(mode: str) -> None:
    placement = place(InputSpec("image", 32, 32, resize="crop", shorter_side=40), 160, 80)
    source = placement.map_to_source(np.ones((8, 8), np.float32), mode)  # type: ignore[arg-type]
    expected = np.zeros((80, 160))
    expected[8:72, 48:112] = 1
    np.testing.assert_array_equal(source, expected)


@pytest.mark.parametrize(
    ("inner", "source"), [((7, 5), (11, 13)), ((13, 11), (7, 5)), ((4, 4), (8, 4))]
)
def test_the_nearest_label_is_that_at_the_centre_of_the_pixel(
    inner: tuple[int, int], source: tuple[int, int]
) -> None:
    (width, height), (columns, rows) = inner, source
    labels = np.arange(width * height, dtype=np.uint16).reshape(height, width)
    placed = Placement(source, inner, inner, (0, 0)).map_to_source(labels, "nearest")
    for y in range(rows):
        for x in range(columns):
            expected = labels[int((y + 0.5) * height / rows), int((x + 0.5) * width / columns)]
            assert placed[y, x] == expected


def test_a_mirrored_mask_gives_the_mirrored_labels() -> None:
    labels = np.random.default_rng(2).integers(0, 9, (192, 256), dtype=np.uint8)
    placement = Placement((320, 240), (256, 192), (256, 192), (0, 0))
    placed = placement.map_to_source(labels, "nearest")
    mirrored = placement.map_to_source(np.ascontiguousarray(labels[::-1, ::-1]), "nearest")
    np.testing.assert_array_equal(mirrored[::-1, ::-1], placed)
