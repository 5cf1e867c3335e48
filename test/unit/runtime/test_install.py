"""Adding a network to a bundle that lacks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnn_perception.errors import ModelError
from cnn_perception.runtime.bundle import load_bundle
from cnn_perception.runtime.install import add_network
from models import write_detector_bundle


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle on the search path without its network, which lies elsewhere."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = write_detector_bundle(tmp_path / "shipped" / "colors", explain=False)
    (folder / "model.onnx").rename(tmp_path / "fetched.onnx")
    return folder


def test_the_copy_is_complete_and_is_found_by_name(described: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="models add colors FILE"):
        load_bundle(described)
    folder = add_network(str(described), tmp_path / "fetched.onnx")
    assert folder == tmp_path / "data" / "cnn_perception" / "models" / "colors"
    assert load_bundle("colors").model == folder / "model.onnx"
    assert not (described / "model.onnx").exists()
    assert add_network("colors", folder / "model.onnx") == folder


def test_another_network_is_refused_and_nothing_is_copied(described: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"something else")
    with pytest.raises(ModelError, match=r"other\.onnx has sha256 .* records .*: fetch"):
        add_network(str(described), other)
    with pytest.raises(ModelError, match=r"gone\.onnx cannot be copied .*No such file"):
        add_network(str(described), tmp_path / "gone.onnx")
    assert not (tmp_path / "data").exists()


def test_absolute_places_are_left_to_the_user(described: Path, tmp_path: Path) -> None:
    file = described / "model.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("model.onnx", "/opt/model.onnx"), encoding="utf-8")
    with pytest.raises(
        ModelError, match=r"model\.file = '/opt/model\.onnx': put the network there"
    ):
        add_network(str(described), tmp_path / "fetched.onnx")
