from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.errors import DatasetError
from cnn_perception.offboard.datasets.folder import FolderDataset
from dataset_trees import picture, write_picture

FILES = ("mug/b.png", "mug/a.PNG", "ant/deep/er/x.jpeg", "ant/notes.txt", "ant/.hidden.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, name in enumerate(FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("txt"):
            (tmp_path / name).write_text("not a picture")
        else:
            write_picture(tmp_path / name, picture(seed))
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_classes_are_folders(root: Path) -> None:
    data = FolderDataset(root)
    assert data.labels == ("ant", "mug")
    assert data.names == ("ant/deep/er/x.jpeg", "mug/a.PNG", "mug/b.png")
    assert [image.label for image in data] == [0, 1, 1]
    np.testing.assert_array_equal(data[2].color, picture(0))
    assert data[2].name == "mug/b.png" and len(data[2].boxes) == 0


def test_agrees_with_torchvision(root: Path) -> None:
    torchvision = pytest.importorskip("torchvision", reason="torchvision is an extra: [train]")
    (root / "ant/.hidden.png").unlink()
    (root / ".cache").rmdir()
    theirs = torchvision.datasets.ImageFolder(str(root))
    ours = FolderDataset(root)
    assert ours.labels == tuple(theirs.classes)
    for image, (color, label) in zip(ours, theirs, strict=True):
        assert image.label == label
        if not image.name.endswith("jpeg"):
            np.testing.assert_array_equal(image.color, np.asarray(color))


def test_given_labels_decide(root: Path) -> None:
    data = FolderDataset(root, labels=["mug", "cup", "ant"])
    assert [image.label for image in data] == [2, 0, 0]
    with pytest.raises(DatasetError, match="ant: unknown class"):
        FolderDataset(root, labels=["mug"])
    data = FolderDataset(root, labels=["mug"], broken="skip")
    assert len(data) == 2 and list(data.broken_files) == ["ant"]


def test_what_is_broken_is_named(root: Path) -> None:
    (root / "mug/b.png").write_bytes(b"\x89PNG")
    with pytest.raises(DatasetError, match=r"mug/b\.png .*copy it again"):
        list(FolderDataset(root))
    (root / "empty").mkdir()
    with pytest.raises(DatasetError, match="empty holds no picture"):
        FolderDataset(root)
    data = FolderDataset(root, broken="skip")
    assert len(list(data)) == 2
    assert set(data.broken_files) == {"empty", "mug/b.png"}
    with pytest.raises(DatasetError, match="is no folder"):
        FolderDataset(root / "nowhere")
    with pytest.raises(DatasetError, match="holds no folders"):
        FolderDataset(root / "mug")
