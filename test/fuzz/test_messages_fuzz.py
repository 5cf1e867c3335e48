"""Random and damaged messages: a MessageError with a documented reason, or a fit result."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_perception.errors import MessageError
from cnn_perception.image.codec import (
    decode_compressed,
    decode_compressed_depth,
    encode_compressed_depth,
    encode_jpeg,
    encode_png,
)
from cnn_perception.image.preprocess import InputSpec, Preprocessor, place
from cnn_perception.messages import DROP_REASONS
from cnn_perception.messages.decode import (
    decode_camera_info,
    decode_color,
    decode_depth,
    decode_mask,
    decode_point_cloud,
)
from cnn_perception.messages.sync import ApproximateTimeSynchronizer

_ENCODINGS = [
    *(f"{name}{bits}" for name in ("rgb", "bgr", "rgba", "bgra", "mono") for bits in (8, 16)),
    *(f"bayer_{name}{bits}" for name in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16)),
    *("8UC1", "8UC3", "8UC4", "16UC1", "32FC1", "uyvy", "yuv422", "yuyv", "yuv422_yuy2"),
]
_ODD = ["", "nv12", "64FC1", "8UC2", "RGB8", "h264", "\0"]
_FORMATS = ["", "jpeg", "16UC1; compressedDepth png", "32FC1; compressedDepth png", "; ;", "rgb8"]
_SMALL = st.integers(0, 12)
_SIZES = st.one_of(_SMALL, st.sampled_from([2**16, 2**31 - 1, 2**32 - 1]))
_NUMBERS = st.floats(width=64)

_SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _documented(error: MessageError) -> None:
    assert error.reason in DROP_REASONS
    assert "\n" not in str(error)


@_SETTINGS
@given(
    height=_SIZES,
    width=_SIZES,
    step=st.one_of(st.integers(0, 120), _SIZES),
    encoding=st.sampled_from(_ENCODINGS + _ODD),
    is_bigendian=st.integers(0, 255),
    data=st.binary(max_size=1500),
)
def test_raw_images(**fields: Any) -> None:
    msg = SimpleNamespace(**fields)
    for decode, types in (
        (decode_color, (np.uint8,)),
        (decode_depth, (np.float32,)),
        (decode_mask, (np.uint8, np.uint16)),
    ):
        try:
            result = decode(msg)
        except MessageError as error:
            _documented(error)
            continue
        depth = 3 if decode is decode_color else None
        assert result.shape == (msg.height, msg.width, depth)[: result.ndim]
        assert result.dtype in types
        if decode is decode_depth:
            assert not (result <= 0).any()
            assert not np.isinf(result).any()


@_SETTINGS
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    padding=st.integers(0, 9),
    encoding=st.sampled_from(_ENCODINGS),
    seed=st.integers(0, 2**32 - 1),
)
def test_well_formed_images_are_never_refused(
    height: int, width: int, padding: int, encoding: str, seed: int
) -> None:
    if encoding.startswith("bayer_"):
        height, width = height + 3, width + 3
    if encoding.startswith("yu") or encoding == "uyvy":
        width *= 2
    step = width * 8 + padding
    data = np.random.default_rng(seed).bytes(height * step)
    msg = SimpleNamespace(
        height=height, width=width, step=step, encoding=encoding, is_bigendian=0, data=data
    )
    if encoding in ("16UC1", "32FC1"):
        assert decode_depth(msg).shape == (height, width)
    else:
        assert decode_color(msg).shape == (height, width, 3)


_PICTURE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
_DEPTH = np.random.default_rng(1).integers(0, 5000, (20, 30)).astype(np.uint16)
_ENCODED = [
    encode_jpeg(_PICTURE),
    encode_jpeg(_PICTURE[:, :, 0]),
    encode_png(_PICTURE),
    encode_png(_DEPTH),
    encode_compressed_depth(_DEPTH),
    struct.pack("<iff", 1, 10100.0, -1009.0) + encode_png(_DEPTH),
    b"",
]


@_SETTINGS
@given(
    encoded=st.sampled_from(_ENCODED),
    image_format=st.sampled_from(_FORMATS),
    flips=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(1, 255)), max_size=4),
    keep=st.floats(0, 1),
    cut=st.booleans(),
    tail=st.binary(max_size=20),
)
def test_damaged_compressed_images(
    encoded: bytes,
    image_format: str,
    flips: list[tuple[float, int]],
    keep: float,
    cut: bool,
    tail: bytes,
) -> None:
    data = bytearray(encoded[: int(len(encoded) * keep)] if cut else encoded)
    for place_, mask in flips:
        if data:
            data[int(place_ * len(data))] ^= mask
    data += tail
    for decode, dtype, dimensions in (
        (decode_compressed, np.uint8, 3),
        (decode_compressed_depth, np.float32, 2),
    ):
        try:
            result = decode(bytes(data), image_format)
        except MessageError as error:
            _documented(error)
            continue
        assert result.dtype == dtype
        assert result.ndim == dimensions
        assert result.size > 0


@_SETTINGS
@given(
    height=_SIZES,
    width=_SIZES,
    point_step=st.integers(0, 40),
    row_step=st.one_of(st.integers(0, 500), _SIZES),
    is_bigendian=st.booleans(),
    fields=st.lists(
        st.builds(
            SimpleNamespace,
            name=st.sampled_from(["x", "y", "z", "rgb", ""]),
            offset=st.one_of(st.integers(0, 30), _SIZES),
            datatype=st.sampled_from([7, 7, 7, 8, 2, 0, 99]),
            count=st.integers(0, 2),
        ),
        max_size=5,
    ),
    complete=st.booleans(),
    data=st.binary(max_size=1500),
)
def test_clouds(complete: bool, **content: Any) -> None:
    if complete:
        content["fields"] = [
            SimpleNamespace(name=name, offset=4 * i, datatype=7, count=1)
            for i, name in enumerate("xyz")
        ]
    msg = SimpleNamespace(**content)
    try:
        points = decode_point_cloud(msg)
    except MessageError as error:
        _documented(error)
        return
    assert points.dtype == np.float32
    assert points.shape[1:] == (3,)
    assert len(points) <= msg.height * msg.width
    assert np.isfinite(points).all()


@_SETTINGS
@given(
    k=st.lists(_NUMBERS, min_size=8, max_size=9),
    p=st.one_of(st.lists(_NUMBERS, min_size=12, max_size=12), st.just([0.0] * 12)),
    width=_SIZES,
    height=_SIZES,
    binning_x=_SIZES,
    binning_y=_SMALL,
    roi=st.builds(SimpleNamespace, x_offset=_SIZES, y_offset=_SIZES, width=_SMALL, height=_SMALL),
)
def test_camera_infos(**fields: Any) -> None:
    try:
        camera = decode_camera_info(SimpleNamespace(**fields))
    except MessageError as error:
        assert error.reason == "bad_intrinsics"
        return
    assert camera.fx > 0
    assert camera.fy > 0
    assert camera.width > 0
    assert np.isfinite([camera.fx, camera.fy, camera.cx, camera.cy]).all()


@_SETTINGS
@given(
    source=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    resize=st.sampled_from(["stretch", "letterbox", "crop"]),
    margin=st.integers(0, 40),
)
def test_placements_invert(
    source: tuple[int, int], size: tuple[int, int], resize: str, margin: int
) -> None:
    shorter = max(size) + margin if resize == "crop" else None
    spec = InputSpec("image", *size, resize=resize, shorter_side=shorter)
    rgb = np.full((source[1], source[0], 3), 200, np.uint8)
    tensor, placement = Preprocessor(spec)(rgb)
    assert placement == place(spec, *source)
    (x, y), (width, height) = placement.offset, placement.inner
    assert (tensor[0, :, y : y + height, x : x + width] == 200).all()
    assert (tensor == 200).sum() == 3 * width * height
    whole = np.array([[0, 0, *source]], np.float32)
    again = placement.boxes_to_source(placement.boxes_to_input(whole))
    np.testing.assert_allclose(again, whole, atol=1e-3)
    inside = np.zeros(size[::-1], np.uint8)
    inside[y : y + height, x : x + width] = 1
    mapped = placement.map_to_source(inside, "nearest")
    assert mapped.shape == source[::-1]
    x, y, width, height = placement.seen
    assert mapped[y : y + height, x : x + width].all()
    assert mapped.sum() == width * height > 0


@_SETTINGS
@given(
    events=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 60)), max_size=80),
    slop=st.sampled_from([0, 0, 2, 50]),
    queue_size=st.integers(1, 6),
    jump=st.integers(0, 70),
)
def test_synchroniser_accounts_for_everything(
    events: list[tuple[str, int]], slop: int, queue_size: int, jump: int
) -> None:
    sync = ApproximateTimeSynchronizer("abc", slop_ns=slop, queue_size=queue_size, jump_ns=jump)
    groups = []
    for stream, stamp in events:
        group = sync.add(stream, stamp, (stream, stamp))
        if group is not None:
            groups.append(group)
            assert group[("abc".index(stream))] == (stream, stamp)
    for group in groups:
        assert [stream for stream, _ in group] == ["a", "b", "c"]
        stamps = [stamp for _, stamp in group]
        assert max(stamps) - min(stamps) <= 2 * slop
    for stream in "abc":
        added = sum(1 for name, _ in events if name == stream)
        dropped = sync.dropped(stream)
        assert set(dropped) <= set(DROP_REASONS)
        assert added == len(groups) + sync.pending(stream) + sum(dropped.values())
        assert sync.pending(stream) <= queue_size
