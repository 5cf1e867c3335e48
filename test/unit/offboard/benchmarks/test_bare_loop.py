"""The bare loop of the nodes' components, and the drive that is made for it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import models
from cnn_perception.errors import BagError
from cnn_perception.messages.decode import decode_camera_info, decode_color, decode_depth
from cnn_perception.messages.stamps import stamp_to_ns
from cnn_perception.offboard.benchmarks.bare_loop import BareLoop
from cnn_perception.offboard.benchmarks.vga_drive import write_vga_drive
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.streams import camera_streams
from painted_drive import FRAMES, HEIGHT, WIDTH, messages, write_drive
from recorded_robot import write

pytestmark = pytest.mark.usefixtures("compiled_kernels")


@pytest.fixture
def drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    bundles = tmp_path / "models"
    models.write_detector_bundle(bundles / "rooms_ssdlite")
    models.write_segmenter_bundle(bundles / "rooms_fcn")
    monkeypatch.setenv("CNN_PERCEPTION_MODELS", str(bundles))
    return write_drive(tmp_path / "drive")


def test_components_answer_alike_whether_they_share_or_not(drive: Path) -> None:
    shared, separate = BareLoop(drive, shared=True), BareLoop(drive, shared=False)
    assert shared.frames == FRAMES
    assert shared.digests == separate.digests
    assert len(shared.digests) == 6 * FRAMES
    assert set(shared.measure()) == {"decode", "detector", "segmenter", "explainer", "mapper"}
    assert set(separate.measure()) == {"detector", "segmenter", "explainer", "mapper"}


def test_the_enlarged_drive_sees_the_same_faster(drive: Path, tmp_path: Path) -> None:
    target = tmp_path / "vga"
    write_vga_drive(drive, target)
    with BagReader(drive) as before, BagReader(target) as after:
        old, new = camera_streams(before), camera_streams(after)
        assert not new.compressed
        for topic in (new.color, new.depth, new.camera_info):
            stamps = [stamp_to_ns(item.message.header.stamp) for item in after.messages([topic])]
            assert len(stamps) == FRAMES
            periods = {later - sooner for sooner, later in itertools.pairwise(stamps)}
            assert max(periods) - min(periods) <= 1
            assert abs(max(periods) - 33_333_333) <= 1
        (one, *_), (other, *_) = before.messages([old.depth]), after.messages([new.depth])
        depth = decode_depth(one.message)
        larger = decode_depth(other.message)
        assert larger.shape == (480, 640)
        assert np.array_equal(larger[::4, ::4], depth, equal_nan=True)
        (image, *_) = after.messages([new.color])
        assert decode_color(image.message).shape == (480, 640, 3)
        (one, *_), (other, *_) = (
            before.messages([old.camera_info]),
            after.messages([new.camera_info]),
        )
        camera, larger_camera = decode_camera_info(one.message), decode_camera_info(other.message)
        assert (camera.width, camera.height) == (WIDTH, HEIGHT)
        # The corner of the picture, half a pixel before the first centre, stays on its ray.
        assert (-0.5 - larger_camera.cx) / larger_camera.fx == pytest.approx(
            (-0.5 - camera.cx) / camera.fx
        )
        assert (larger_camera.width, larger_camera.height) == (640, 480)


def test_the_enlarged_drive_is_the_same_each_time(drive: Path, tmp_path: Path) -> None:
    found = []
    for _ in range(2):  # in the same place: the bag names itself
        write_vga_drive(drive, tmp_path / "vga")
        found.append((tmp_path / "vga" / "vga.mcap").read_bytes())
    assert found[0] == found[1]


def test_a_single_image_has_no_rate(tmp_path: Path) -> None:
    bag = write(tmp_path / "short", messages(1))
    with pytest.raises(BagError, match="has 1 image: a rate needs two"):
        write_vga_drive(bag, tmp_path / "vga")
