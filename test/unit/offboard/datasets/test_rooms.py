from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cnn_perception.errors import ConfigError, DatasetError, PerceptionError
from cnn_perception.offboard.datasets import rooms
from cnn_perception.offboard.datasets.labelled import LabelledImage
from cnn_perception.offboard.datasets.rooms import RenderedRooms, scaled, write_shards
from cnn_perception.offboard.datasets.shards import (
    RoomsFolder,
    open_shard,
    save_shard,
    shard_splits,
)
from cnn_perception.offboard.simulation.labels import MASK_LABELS, OBJECT_CLASSES


def labelled(seed: int, objects: int, size: tuple[int, int] = (32, 24)) -> LabelledImage:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 20, (objects, 2))
    return LabelledImage(
        rng.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8),
        rng.integers(0, 15, (size[1], size[0])).astype(np.uint8),
        np.concatenate([corner, corner + 3], 1).astype(np.float32),
        rng.integers(0, 12, objects).astype(np.int32),
        rng.random(objects) < 0.5,
    )


def write(folder: Path, *counts: Sequence[int]) -> list[LabelledImage]:
    """Write a training shard for each list of object counts, and return all images."""
    written = []
    for number, objects in enumerate(counts):
        images = [labelled(100 * number + k, count) for k, count in enumerate(objects)]
        save_shard(folder / f"train_{number:04d}.npy", images)
        written += images
    return written


def assert_equal(first: LabelledImage, second: LabelledImage) -> None:
    for name in ("color", "mask", "boxes", "classes", "difficult"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
        assert getattr(first, name).dtype == getattr(second, name).dtype


def test_folder_returns_what_was_saved(tmp_path: Path) -> None:
    images = write(tmp_path, (2, 0, 5), (0, 0), (1,))
    data = RoomsFolder(tmp_path)
    assert data.labels == OBJECT_CLASSES and data.mask_labels == MASK_LABELS
    assert len(data) == 6
    for index in (5, 0, 3, 2, 4, 1):
        assert_equal(data[index], images[index])
    assert [image.name for image in data][2:4] == ["train_0000.npy[2]", "train_0001.npy[0]"]
    one = RoomsFolder(tmp_path / "train_0000.npy")
    assert len(one) == 3
    assert_equal(one[2], images[2])


def test_pixels_stay_in_the_file(tmp_path: Path) -> None:
    """Processes that load images share them: neither reading nor sending copies a shard."""
    images = write(tmp_path, (2, 1))
    data = RoomsFolder(tmp_path)
    assert not data[1].color.flags.owndata and not data[1].color.flags.writeable
    sent = pickle.dumps(data)
    assert len(sent) < images[0].color.nbytes
    assert_equal(pickle.loads(sent)[1], images[1])
    assert_equal(data[1], images[1])


def test_broken_shards_are_named(tmp_path: Path) -> None:
    images = write(tmp_path, (2, 0), (1, 3), (1,))
    path = tmp_path / "train_0001.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DatasetError, match=r"train_0001\.npy is no readable shard"):
        RoomsFolder(tmp_path)
    data = RoomsFolder(tmp_path, broken="skip")
    assert len(data) == 3 and list(data.broken_files) == [path.name]
    assert_equal(data[2], images[4])
    for damaged in (b"", b"PK\3\4", whole[:40], whole.replace(b"'mask'", b"'task'", 1)):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match=r"train_0001\.npy is no .*shard"):
            open_shard(path)
    np.save(path, np.zeros((3, 4)))
    with pytest.raises(DatasetError, match="is no shard of rooms but float64"):
        open_shard(path)
    with pytest.raises(DatasetError, match="none of 1 shards can be used"):
        RoomsFolder(path, broken="skip")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("objects", 9, "has 9 objects"),
        ("classes", 12, r"ids up to 12: there are 12"),
        ("classes", -1, r"ids up to "),
        ("mask", 15, r"ids up to 15: there are 15"),
        ("boxes", np.nan, "is not finite"),
    ],
)
def test_damaged_images_are_named(tmp_path: Path, field: str, value: float, said: str) -> None:
    images = write(tmp_path, (2, 2, 1))
    records = np.load(tmp_path / "train_0000.npy")
    records[field][1] = value
    np.save(tmp_path / "train_0000.npy", records)
    with pytest.raises(DatasetError, match=rf"train_0000\.npy\[1\].*{said}"):
        RoomsFolder(tmp_path)[1]
    kept = list(RoomsFolder(tmp_path, broken="skip"))
    assert len(kept) == 2
    assert_equal(kept[1], images[2])


def test_splits(tmp_path: Path) -> None:
    write(tmp_path, (2, 0))
    save_shard(tmp_path / "val_0000.npy", [labelled(1, 1)])
    assert shard_splits(tmp_path) == ("train", "val")
    assert len(RoomsFolder(tmp_path, "val")) == 1
    with pytest.raises(DatasetError, match=r"holds no test_.*: the splits .* are: train, val"):
        RoomsFolder(tmp_path, "test")


def test_shards_hold_images_of_one_size(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no images"):
        save_shard(tmp_path / "train_0.npy", [])
    with pytest.raises(ConfigError, match="a shard holds one size"):
        save_shard(tmp_path / "train_0.npy", [labelled(0, 1), labelled(0, 1, (40, 30))])
    assert not list(tmp_path.iterdir())


def test_scaled_boxes_keep_their_place() -> None:
    image = scaled(labelled(3, 4), 64, 96)
    assert image.color.shape == (96, 64, 3)
    np.testing.assert_allclose(image.boxes, labelled(3, 4).boxes * [2, 4, 2, 4])
    assert set(np.unique(image.mask)) <= set(np.unique(labelled(3, 4).mask))


@pytest.mark.parametrize(
    "wrong",
    [
        {"mask": np.zeros((24, 31), np.uint8)},
        {"boxes": np.zeros((3, 4), np.float32)},
        {"difficult": np.zeros(5, bool)},
    ],
)
def test_shapes_that_disagree_are_refused(wrong: dict[str, np.ndarray]) -> None:
    good = labelled(0, 2)
    names = ("color", "mask", "boxes", "classes", "difficult")
    with pytest.raises(ConfigError, match="expected"):
        LabelledImage(**{**{name: getattr(good, name) for name in names}, **wrong})


# Rendering


@pytest.fixture(scope="module")
def rendered() -> list[LabelledImage]:
    """Two views of room 0, and of room 1."""
    try:
        return list(RenderedRooms(0, 2, 2))
    except PerceptionError as error:
        pytest.skip(str(error))


def test_rendered_rooms_are_the_same_in_any_order(rendered: list[LabelledImage]) -> None:
    data = RenderedRooms(0, 2, 2)
    assert [image.name for image in rendered] == list(data.names)
    assert len(np.unique(rendered[0].mask)) > 1 and len(rendered[0].boxes) > 0
    assert_equal(data[3], rendered[3])
    assert_equal(data[2], rendered[2])
    sent = pickle.loads(pickle.dumps(data))
    assert_equal(sent[1], rendered[1])
    data.close()
    sent.close()


def test_views_of_a_room_stay_together_in_shuffled_order() -> None:
    order = RenderedRooms(5, 20, 3).shuffled(np.random.default_rng(0))
    assert sorted(order) == list(range(60)) and order.tolist() != list(range(60))
    assert (order.reshape(20, 3) // 3 == order.reshape(20, 3)[:, :1] // 3).all()


def test_processes_write_what_one_process_renders(
    tmp_path: Path, rendered: list[LabelledImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "EVALUATION_SEED", 1)
    write_shards(tmp_path, 1, 2, (64, 48), evaluation_rooms=1, processes=2)
    for name, expected in (("train_0000.npy", rendered[:2]), ("val_0000.npy", rendered[2:3])):
        save_shard(tmp_path / "expected", [scaled(image, 64, 48) for image in expected])
        assert (tmp_path / name).read_bytes() == (tmp_path / "expected").read_bytes()


def test_shards_that_are_there_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs: list[str] = []

    def fake(self: RenderedRooms, index: int) -> LabelledImage:
        jobs.append(self.names[index])
        return labelled(index, 1)

    monkeypatch.setattr(RenderedRooms, "_read", fake)

    def render(count: int = 52, views: int = 1, size: tuple[int, int] = (32, 24)) -> int:
        jobs.clear()
        write_shards(tmp_path, count, views, size, evaluation_rooms=1)
        return len(jobs)

    assert render() == 53
    assert render() == 0
    path = tmp_path / "train_0001.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert render() == 2 and jobs == ["room_50_view_0", "room_51_view_0"]
    for other in ({"count": 120}, {"views": 2}, {"size": (16, 12)}):
        with pytest.raises(DatasetError, match=r"\.npy holds .* of 32x24, not .*: delete it"):
            render(**other)  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match=r"train_0001\.npy holds rooms beyond the 50 to train"):
        render(50)
    assert not jobs
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
