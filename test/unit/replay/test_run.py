"""What a replay left is read back as it was written; what it did not finish is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import BagError
from cnn_perception.replay.results import ResultsWriter
from cnn_perception.replay.run import PROCESSED, FrameRecord, ReplayRun

RECORDS = [
    FrameRecord("detector", "/camera/color", -5, 7, PROCESSED, 1.25, 3),
    FrameRecord("front/detector", "/c", 2**62, 8, "corrupt_image", detail='a "b", c; d é'),
    FrameRecord("mapper", "/camera/depth", 0, 9, "no_transform", detail="no transform map <- x"),
]


def test_frames_come_back(tmp_path: Path) -> None:
    with ResultsWriter(tmp_path) as results:
        for each in RECORDS:
            results.note(each)
        assert results.frames == 3
        assert results.frame_statistics("detector") == {
            "received": 1,
            "processed": 1,
            "dropped": {},
            "found": 3,
        }
        assert results.frame_statistics("mapper")["dropped"] == {"no_transform": 1}
        assert results.latency_ms("detector") == dict.fromkeys(("p50", "p95", "p99", "max"), 1.25)
        assert results.latency_ms("mapper")["p50"] == 0.0
        assert results.digests() == {}
    run = ReplayRun(tmp_path, {"bag": {"path": "/bags/é"}})
    run.save()
    found = ReplayRun.load(tmp_path)
    assert (found.summary, found.bag) == (run.summary, Path("/bags/é"))
    assert list(found.frames()) == RECORDS
    assert found.map_file is None


def test_an_error_leaves_no_results(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stopped"), ResultsWriter(tmp_path):
        raise RuntimeError("stopped")
    assert not (tmp_path / "results").exists()
    with pytest.raises(BagError, match="no finished replay"):
        ReplayRun.load(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "node,topic\n"])
def test_what_is_no_summary(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(BagError, match="cnn-perception replay") as error:
        ReplayRun.load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["node,topic\nx,y\n", None, "\x00"])
def test_damaged_frames(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "frames.csv").write_text(text)
    run = ReplayRun(tmp_path, {})
    if text == "\x00":
        assert list(run.frames()) == []
    else:
        with pytest.raises(BagError, match="replay the bag again"):
            list(run.frames())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    with pytest.raises(BagError, match="cannot write"):
        ResultsWriter(tmp_path)
    with pytest.raises(BagError, match="choose another"):
        ResultsWriter(tmp_path / "nowhere")
