"""``detect``, ``segment`` and ``explain`` on files: what is written, said, and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cnn_perception.cli.inputs import find_sources
from cnn_perception.cli.main import app
from cnn_perception.errors import ConfigError, ModelError
from cnn_perception.image.key import heat_key
from models import (
    cell_box,
    paint,
    score_of,
    write_classifier_bundle,
    write_detector_bundle,
    write_segmenter_bundle,
)

RED = {(1, 1): "red"}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a red cell, a black picture, and a blue cell one folder down."""
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    _save(folder / "a.png", paint(RED))
    _save(folder / "b.png", paint({}))
    _save(folder / "more" / "a.png", paint({(0, 0): "blue"}, level=1))
    (folder / "notes.txt").write_text("not a picture", encoding="utf-8")
    return folder


def _save(file: Path, rgb: np.ndarray) -> None:
    assert cv2.imwrite(str(file), rgb[:, :, ::-1])


def _run(*arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def test_detect(tmp_path: Path, pictures: Path) -> None:
    model, out = write_detector_bundle(tmp_path / "colors"), tmp_path / "out"
    result = _run("detect", pictures, "--model", model, "--out", out)
    assert "a.png: red 1.00" in result.stdout
    assert "b.png: nothing" in result.stdout
    assert "3 of 3 files done" in result.stdout
    written = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    overlays = {"a.detections.jpg", "b.detections.jpg", "more/a.detections.jpg"}
    assert written == overlays | {"detections.json"}
    red, black, blue = _read(out / "detections.json")
    assert (red["width"], red["height"]) == (640, 480)
    (found,) = red["detections"]
    assert (found["label"], found["class_id"]) == ("red", 0)
    assert found["score"] == pytest.approx(score_of(255), abs=1e-4)
    assert found["box"] == pytest.approx(cell_box(1, 1), abs=0.02)
    assert black["detections"] == []
    assert blue["detections"][0]["label"] == "blue"
    before, after = paint(RED)[:, :, ::-1], cv2.imread(str(out / "a.detections.jpg"))
    changed = np.abs(after.astype(int) - before).max(axis=2) > 60
    ys, xs = np.nonzero(changed)
    assert changed.any()
    assert abs(xs.max() - 160) < 30
    assert abs(ys.max() - 160) < 30


def test_detect_takes_thresholds_from_the_command_line(tmp_path: Path, pictures: Path) -> None:
    model, out = write_detector_bundle(tmp_path / "colors"), tmp_path / "out"
    picture = pictures / "a.png"
    _save(picture, paint({(1, 1): (180, 0, 0), (4, 4): "red"}))
    for options, count in (((), 2), (("--score", "0.999"), 1), (("--most", "1"), 1)):
        _run("detect", picture, "-m", model, "-o", out, *options)
        assert len(_read(out / "detections.json")[0]["detections"]) == count


def test_json_is_all_that_is_on_standard_output(tmp_path: Path, pictures: Path) -> None:
    model, out = write_detector_bundle(tmp_path / "colors"), tmp_path / "out"
    result = _run("detect", pictures / "a.png", "-m", model, "-o", out, "--json")
    assert json.loads(result.stdout) == _read(out / "detections.json")
    assert "a.png: red" in result.stderr


def test_broken_files_are_named_and_the_rest_is_done(tmp_path: Path, pictures: Path) -> None:
    model, out = write_detector_bundle(tmp_path / "colors"), tmp_path / "out"
    whole = (pictures / "a.png").read_bytes()
    ok, jpeg = cv2.imencode(".jpg", np.full((200, 200, 3), 90, np.uint8))
    assert ok
    broken = {
        "cut.png": whole[: len(whole) // 2],
        "cut.jpg": jpeg.tobytes()[:-20],
        "empty.png": b"",
        "text.jpg": b"not a picture",
        "text.mp4": b"not a video",
    }
    for name, content in broken.items():
        (pictures / name).write_bytes(content)
    arguments = (pictures, pictures / "gone.png", pictures / "gone.mp4")
    result = _run("detect", *arguments, "-m", model, "-o", out, code=1)
    assert "3 of 10 files done" in result.stdout
    errors = {
        Path(record["file"]).name: record["error"]
        for record in _read(out / "detections.json")
        if "error" in record
    }
    assert set(errors) == {*broken, "gone.png", "gone.mp4"}
    assert errors["cut.png"] == errors["cut.jpg"] == "the picture is cut short: copy it again"
    assert errors["gone.png"] == errors["gone.mp4"] == "No such file or directory"
    for name, text in errors.items():
        assert f"{name}: {text}" in result.stderr


def test_segment(tmp_path: Path, pictures: Path) -> None:
    model, out = write_segmenter_bundle(tmp_path / "areas"), tmp_path / "out"
    result = _run("segment", pictures, "--model", model, "--out", out)
    assert "a.png: background 97.9%, red 2.1%" in result.stdout
    mask = cv2.imread(str(out / "a.mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (480, 640)
    assert mask[120, 120] == 1
    assert set(np.unique(mask)) == {0, 1}
    shares = _read(out / "segments.json")[0]["shares"]
    assert shares == {"background": pytest.approx(47 / 48), "red": pytest.approx(1 / 48, abs=1e-5)}
    assert (out / "more" / "a.segments.jpg").is_file()


def test_explain(tmp_path: Path, pictures: Path) -> None:
    model, out = write_detector_bundle(tmp_path / "colors"), tmp_path / "out"
    result = _run("explain", pictures, "--model", model, "--out", out)
    assert "a.png: red 1.00" in result.stdout
    assert "b.png: nothing to explain" in result.stdout
    red, black, _ = _read(out / "explanations.json")
    assert red["explanation"]["box"] == pytest.approx(cell_box(1, 1), abs=0.02)
    assert black["explanation"]["label"] is None
    heat = cv2.imread(str(out / "a.heat.png"), cv2.IMREAD_UNCHANGED)
    assert heat.dtype == np.uint16
    assert heat[120, 120] == 65535
    assert heat[300, 300] == 0
    # The colors of the heat are explained in the lower right corner.
    corner = cv2.imread(str(out / "a.explanations.jpg"))[-30:, -360:, ::-1].astype(int)
    for color in heat_key(0.5).bar[0, [60, 128, 200]].astype(int):
        assert (np.abs(corner - color).max(-1) < 24).sum() > 20
    with pytest.raises(ConfigError, match="'pink' is no label"):
        _run("explain", pictures, "--model", model, "--out", out, "--target", "pink")


def test_explain_a_class(tmp_path: Path, pictures: Path) -> None:
    model, out = write_classifier_bundle(tmp_path / "classes"), tmp_path / "out"
    picture = pictures / "green.png"
    _save(picture, np.full((48, 64, 3), (0, 250, 0), np.uint8))
    _run("explain", picture, "-m", model, "-o", out)
    explanation = _read(out / "explanations.json")[0]["explanation"]
    assert (explanation["label"], explanation["box"]) == ("green", None)


def test_explain_at_a_place_and_several_answers(tmp_path: Path) -> None:
    model, out = write_detector_bundle(tmp_path / "colors"), tmp_path / "out"
    picture = tmp_path / "two.png"
    _save(picture, paint({(1, 1): "red", (4, 6): (220, 0, 0)}))
    x0, y0, x1, y1 = cell_box(4, 6)
    _run("explain", picture, "-m", model, "-o", out, "--region", f"{x0 + 9},{y0 + 9}")
    (there,) = _read(out / "explanations.json")
    assert there["explanation"]["box"] == pytest.approx((x0, y0, x1, y1), abs=0.02)
    assert there["explanation"]["evidence"] is not None and "further" not in there
    _run("explain", picture, "-m", model, "-o", out, "--most", "9")
    (both,) = _read(out / "explanations.json")
    assert both["explanation"]["box"] == pytest.approx(cell_box(1, 1), abs=0.02)
    assert [answer["box"] for answer in both["further"]] == [there["explanation"]["box"]]
    for region in ("4,", "red", "1,2,3"):
        with pytest.raises(ConfigError, match=r"region.*: give (a point \[x, y\]|x,y or)"):
            _run("explain", picture, "-m", model, "-o", out, "--region", region)
    with pytest.raises(ConfigError, match=r"have no Grad-CAM\+\+: make them anew with"):
        _run("explain", picture, "-m", model, "-o", out, "--plus-plus")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Twelve frames; a red cell in the last six."""
    file = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), 6.0, (320, 240))
    assert writer.isOpened()
    for index in range(12):
        cells = RED if index >= 6 else {}
        writer.write(paint(cells, width=320, height=240)[:, :, ::-1])
    writer.release()
    return file


def test_videos(tmp_path: Path, video: Path) -> None:
    out = tmp_path / "out"
    model = write_detector_bundle(tmp_path / "colors")
    assert "clip.avi: 12 frames" in _run("detect", video, "-m", model, "-o", out).stdout
    (record,) = _read(out / "detections.json")
    assert (record["width"], record["height"], record["rate"]) == (320, 240, 6.0)
    assert [len(frame["detections"]) for frame in record["frames"]] == [0] * 6 + [1] * 6
    assert record["frames"][9]["seconds"] == 1.5
    annotated = cv2.VideoCapture(str(out / "clip.detections.mp4"))
    assert annotated.get(cv2.CAP_PROP_FRAME_COUNT) == 12
    areas = write_segmenter_bundle(tmp_path / "areas")
    _run("segment", video, "-m", areas, "-o", out)
    masks = sorted((out / "clip.mask").iterdir())
    assert [file.name for file in masks] == [f"{index:06d}.png" for index in range(12)]
    assert cv2.imread(str(masks[11]), cv2.IMREAD_UNCHANGED)[60, 60] == 1


def test_names_do_not_collide(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        _save(tmp_path / folder / "a.png", paint({}))
    _save(tmp_path / "one" / "a.jpg", paint({}))
    names = [str(source.name) for source in find_sources([tmp_path / "one", tmp_path / "two"])]
    assert names == ["a", "a-2", "a-3"]


def test_folders_without_pictures_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no pictures and no videos in .*: known are \.bmp"):
        find_sources([tmp_path])


def test_unknown_models_are_an_error(pictures: Path) -> None:
    with pytest.raises(ModelError, match="no model bundle named 'nothing_like_it'"):
        _run("detect", pictures, "--model", "nothing_like_it")
