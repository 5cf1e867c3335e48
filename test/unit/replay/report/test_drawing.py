"""Pictures of frames: of any size, by any kind of answer, and where there is none."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from cnn_perception.messages.decode import decode_detections
from cnn_perception.recording.bag import BagReader, BagWriter
from cnn_perception.recording.compose import encode
from cnn_perception.replay.moments import FrameTime
from cnn_perception.replay.report.colors import LabelColors
from cnn_perception.replay.report.drawing import CameraNamespace, MomentPictures, draw_moments
from cnn_perception.types import ExplainedAnswer, Header
from painted_drive import stamp_of
from painted_replay import detections

COLOR = "/image"
GREY = np.full((480, 640, 3), 120, np.uint8)
RECORDED_NS = stamp_of(3) + 7_000_000


def header(index: int) -> Any:
    return encode.header(Header(stamp_of(index), "camera"))


STAMPED = header(3)


def drawn(
    folder: Path, source: Any, answers: dict[str, Any], *, recorded_ns: int = RECORDED_NS
) -> MomentPictures:
    """Draw the frame of stamp 3 from bags with these messages, and one of another stamp."""
    with BagWriter(folder / "source") as bag:
        bag.write(COLOR, source.__msgtype__, source, recorded_ns)
    with BagWriter(folder / "results") as bag:
        other = detections(header(4), [("wrong", 1.0, (0.0, 0.0, 9.0, 9.0))])
        bag.write("/detector/detections", other.__msgtype__, other, recorded_ns)
        for topic, msg in answers.items():
            bag.write(topic, msg.__msgtype__, msg, recorded_ns)
    frame = FrameTime(RECORDED_NS, stamp_of(3))
    with BagReader(folder / "source") as bag, BagReader(folder / "results") as results:
        (moment,) = draw_moments(bag, results, CameraNamespace("", COLOR), [frame], LabelColors())
    return moment


def pixels(uri: str) -> NDArray[np.int64]:
    data = np.frombuffer(base64.b64decode(uri.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1], np.int64)


def test_wide_images_are_reduced_with_their_answers(tmp_path: Path) -> None:
    mask = np.zeros((480, 640), np.uint16)
    mask[:, 320:] = 300
    heat = np.zeros((480, 640), np.float32)
    heat[240:] = 1
    moment = drawn(
        tmp_path,
        encode.image(STAMPED, GREY),
        {
            "/detector/detections": detections(STAMPED, [("a", 0.5, (200.0, 200.0, 400.0, 440.0))]),
            "/segmenter/mask": encode.image(STAMPED, mask),
            "/explainer/heatmap": encode.image(STAMPED, heat),
        },
    )
    assert moment.found == [("a", 0.5)]
    shown = {
        title: abs(pixels(uri) - 120).max(axis=2) > 25 for title, uri in moment.pictures.items()
    }
    assert {picture.shape for picture in shown.values()} == {(240, 320)}
    assert not shown["camera"].any()
    rows, columns = np.nonzero(shown["detections"])
    assert (rows.max(), columns.min(), columns.max()) == (
        pytest.approx(220, abs=5),
        pytest.approx(100, abs=5),
        pytest.approx(200, abs=5),
    )
    assert shown["mask"][:, 165:].mean() > 0.9
    assert not shown["mask"][:, :155].any()
    assert shown["Grad-CAM"][130:].all()
    assert moment.words["mask"] == "class 0 50%, class 300 50%"
    assert moment.words["Grad-CAM"] == "nothing to explain"


def test_classifications_are_named(tmp_path: Path) -> None:
    answers = [ExplainedAnswer(0, 0.75), ExplainedAnswer(1, 0.25)]
    said = encode.classification(STAMPED, answers, ("cat", "dog"))
    heat = encode.image(STAMPED, np.ones((480, 640), np.float32))
    moment = drawn(
        tmp_path,
        encode.image(STAMPED, GREY),
        {"/explainer/heatmap": heat, "/explainer/classification": said},
    )
    assert moment.words["Grad-CAM"] == "cat 0.75, dog 0.25"
    assert set(moment.pictures) == {"camera", "Grad-CAM"}


def test_images_that_are_missing_or_damaged_are_said_to_be(tmp_path: Path) -> None:
    absent = drawn(tmp_path / "a", encode.image(STAMPED, GREY), {}, recorded_ns=RECORDED_NS + 1)
    assert absent.pictures == {}
    assert absent.words["camera"] == "the image is not in the bag"
    damaged = encode.image(STAMPED, GREY)
    damaged.data = damaged.data[:100]
    broken = drawn(tmp_path / "b", damaged, {})
    assert broken.pictures == {}
    assert "bytes" in broken.words["camera"]


def test_an_answer_of_another_size_costs_only_itself(tmp_path: Path) -> None:
    mask = encode.image(STAMPED, np.zeros((480, 640), np.uint8))
    mask.encoding = "rgb8"
    moment = drawn(tmp_path, encode.image(STAMPED, GREY), {"/segmenter/mask": mask})
    assert set(moment.pictures) == {"camera"}
    assert "rgb8" in moment.words["mask"]


def test_an_object_without_hypothesis_has_no_name() -> None:
    array = detections(STAMPED, [("a", 0.5, (1.0, 2.0, 5.0, 8.0))] * 2)
    array.detections[0].results = []
    found = decode_detections(array)
    assert found.labels == ("", "a")
    assert found.scores.tolist() == [0.0, 0.5]
    assert found.boxes.tolist() == [[1.0, 2.0, 5.0, 8.0]] * 2
    assert decode_detections(detections(STAMPED, [])).boxes.shape == (0, 4)
