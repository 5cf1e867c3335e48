"""Where bundles are looked for, and which of two wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import ModelError
from cnn_perception.runtime.locate import (
    find_bundle,
    list_bundles,
    search_path,
)
from models import write_detector_bundle


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("CNN_PERCEPTION_MODELS", f"{tmp_path / 'first'}:{tmp_path / 'second'}")


def test_search_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, user, shipped = search_path()
    assert (first, second) == (tmp_path / "first", tmp_path / "second")
    assert user == tmp_path / "data" / "cnn_perception" / "models"
    assert shipped.name == "models"
    monkeypatch.delenv("CNN_PERCEPTION_MODELS")
    assert search_path() == (user, shipped)


def test_the_first_of_a_name_wins(tmp_path: Path) -> None:
    write_detector_bundle(tmp_path / "second" / "colors")
    assert find_bundle("colors").parent == tmp_path / "second" / "colors"
    write_detector_bundle(tmp_path / "first" / "colors")
    assert find_bundle("colors").parent == tmp_path / "first" / "colors"
    assert list_bundles()["colors"].parent == tmp_path / "first" / "colors"


def test_paths(tmp_path: Path) -> None:
    folder = write_detector_bundle(tmp_path / "colors")
    for given in (folder, folder / "model.yaml", str(folder), str(folder / "model.yaml")):
        assert find_bundle(given) == folder / "model.yaml"


def test_unknown_names_and_paths(tmp_path: Path) -> None:
    write_detector_bundle(tmp_path / "first" / "colors")
    with pytest.raises(ModelError, match=r"named 'colrs' in .*: did you mean colors\?"):
        find_bundle("colrs")
    with pytest.raises(ModelError, match=r"named 'zzz' in .*: known are .*colors"):
        find_bundle("zzz")
    with pytest.raises(ModelError, match=r"no model bundle at .*nowhere"):
        find_bundle(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"no model bundle at .*/colors/model\.yml"):
        find_bundle(str(tmp_path / "first" / "colors" / "model.yml"))
    network = tmp_path / "first" / "colors" / "model.onnx"
    with pytest.raises(ModelError, match=r"is no model bundle: give the model\.yaml"):
        find_bundle(network)
