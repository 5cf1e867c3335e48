"""Damaged model bundles: a typed error of one line, or a bundle that works; never anything else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnn_perception.detection.detector import Detector
from cnn_perception.errors import ModelError
from cnn_perception.explain.explainer import Explainer
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.segmentation.segmenter import Segmenter
from detector_formats import FORMATS, write_format_bundle
from models import (
    paint,
    write_classifier_bundle,
    write_detector_bundle,
    write_segmenter_bundle,
)

FUZZ = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PICTURE = paint({(1, 1): "red", (2, 5): "green"}, width=160, height=120)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.sampled_from(["model.onnx", "logits", "image", "../model.onnx", "0" * 64, "detection"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One whole bundle of each kind."""
    root = tmp_path_factory.mktemp("whole")
    return [
        write_detector_bundle(root / "colors"),
        write_segmenter_bundle(root / "areas", explain=True),
        write_segmenter_bundle(root / "logits", form="mask_logits"),
        write_classifier_bundle(root / "classes"),
        *(write_format_bundle(root / form, form) for form in FORMATS),
    ]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def _paths(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in nested mappings and lists."""
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    for key, value in items:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _replace(content: Any, path: tuple[Any, ...], value: Any, *, drop: bool) -> None:
    for key in path[:-1]:
        content = content[key]
    if drop:
        del content[path[-1]]
    else:
        content[path[-1]] = value


def _use(bundle: ModelBundle) -> None:
    """Do with a bundle what its task allows; the answers must have the right shape."""
    if bundle.task == "detection":
        found = Detector(bundle).detect(PICTURE)
        assert np.isfinite(found.boxes).all()
        assert (found.class_ids < len(bundle.labels)).all()
    elif bundle.task == "segmentation":
        assert Segmenter(bundle).segment(PICTURE).shape == PICTURE.shape[:2]
    if bundle.explain:
        heatmap = Explainer(bundle).explain(PICTURE).heatmap
        assert heatmap.shape == PICTURE.shape[:2]
        assert (heatmap >= 0).all()
        assert (heatmap <= 1).all()


def _try(file: Path) -> None:
    """Load and use a bundle, or see one line about why not."""
    try:
        _use(load_bundle(file))
    except ModelError as error:
        text = str(error)
        assert text
        assert "\n" not in text
        assert len(text) < 2000


def _copy(folder: Path, scratch: Path) -> Path:
    target = scratch / folder.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    return target / "model.yaml"


@FUZZ
@given(data=st.data())
def test_replaced_and_dropped_values(
    folders: list[Path], scratch: Path, data: st.DataObject
) -> None:
    file = _copy(data.draw(st.sampled_from(folders)), scratch)
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(_paths(content))
        if places:
            place = data.draw(st.sampled_from(places))
            _replace(content, place, data.draw(values), drop=data.draw(st.booleans()))
    file.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    _try(file)


@FUZZ
@given(data=st.data())
def test_damaged_text(folders: list[Path], scratch: Path, data: st.DataObject) -> None:
    file = _copy(data.draw(st.sampled_from(folders)), scratch)
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(content) - 1))
        end = min(len(content), start + data.draw(st.integers(0, 12)))
        content[start:end] = data.draw(st.binary(max_size=12))
        if not content:
            break
    file.write_bytes(bytes(content))
    _try(file)


@FUZZ
@given(content=st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode()))
def test_any_text(scratch: Path, content: bytes) -> None:
    file = scratch / "any.yaml"
    file.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        load_bundle(file)
    assert "\n" not in str(caught.value)


@settings(FUZZ, max_examples=60)
@given(data=st.data())
def test_networks_cut_short(folders: list[Path], scratch: Path, data: st.DataObject) -> None:
    """Without a recorded sha256, ONNX Runtime itself has to find that the file is not whole."""
    folder = data.draw(st.sampled_from(folders))
    file = _copy(folder, scratch)
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    del content["model"]["sha256"]
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    network = file.parent / "model.onnx"
    whole = network.read_bytes()
    network.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    _try(file)
