"""The component over a recording of a detector's answers, by the plugin that cnn_perception has."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cnn_perception.recording.bag import BagWriter
from cnn_perception.recording.compose import START_NS, encode
from cnn_perception.types import Detections, Header

FOLDER = Path(tempfile.mkdtemp(prefix="own_component_"))
PERIOD_NS = 100_000_000
FRAMES = 10


@pytest.fixture(scope="module", autouse=True)
def bag():
    """Somebody walks to the right, 40 pixels in each frame; a chair stands at x = 100."""
    with BagWriter(FOLDER / "walk") as writer:
        for k in range(FRAMES):
            header = encode.header(Header(START_NS + k * PERIOD_NS, "camera"))
            corners = [(40.0 * k - 10, 50, 40.0 * k + 10, 90), (80, 50, 120, 90)]
            boxes = np.array(corners, np.float32)
            scores, classes = np.array([0.9, 0.8], np.float32), np.arange(2, dtype=np.int32)
            found = Detections(boxes, scores, classes)
            message = encode.detections_2d(header, found, ["person", "chair"])
            if k == 9:
                message.detections[0].results.clear()
            recorded_ns = START_NS + k * PERIOD_NS
            writer.write("/detections", message.__msgtype__, message, recorded_ns)
    yield
    shutil.rmtree(FOLDER)


@pytest.mark.replay(FOLDER / "walk", config="walk.yaml", expect="walk_expect.yaml")
def test_people_are_counted_in_the_zone(replay):
    replay.check()
    counts = [message.data for message in replay.messages("/people_counter/count")]
    assert counts == [0, 0, 0, 1, 1, 1, 1, 0, 0]
    people = replay.messages("/people_counter/people")
    assert [len(message.detections) for message in people] == counts
    assert {message.header.frame_id for message in people} == {"camera"}
    statistics = replay.run.summary["nodes"]["people_counter"]
    assert statistics["dropped"] == {"no_hypothesis": 1}
    assert statistics["received"] == statistics["processed"] + 1 == FRAMES
