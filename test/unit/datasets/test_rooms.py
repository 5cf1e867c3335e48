from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.datasets.labelled import LabelledImage
from cnn_perception.datasets.rooms import (
    ShardFolder,
    load_shard,
    render_rooms,
    save_shard,
    scaled,
    write_shards,
)
from cnn_perception.errors import ConfigError, PerceptionError


def labelled(seed: int, objects: int) -> LabelledImage:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 20, (objects, 2))
    return LabelledImage(
        rng.integers(0, 256, (24, 32, 3)).astype(np.uint8),
        rng.integers(0, 15, (24, 32)).astype(np.uint8),
        np.concatenate([corner, corner + 3], 1).astype(np.float32),
        rng.integers(0, 12, objects).astype(np.int32),
        rng.random(objects) < 0.5,
    )


def assert_equal(first: LabelledImage, second: LabelledImage) -> None:
    for name in ("color", "mask", "boxes", "classes", "difficult"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_shard_returns_what_was_saved(tmp_path: Path) -> None:
    images = [labelled(seed, objects) for seed, objects in enumerate((2, 0, 5, 0))]
    save_shard(tmp_path / "train_0.npz", images)
    shard = load_shard(tmp_path / "train_0.npz")
    assert len(shard) == 4
    for saved, loaded in zip(images, shard, strict=True):
        assert_equal(saved, loaded)
    with pytest.raises(IndexError):
        shard[4]


def test_folder_takes_in_new_shards_and_leaves_broken_ones(tmp_path: Path) -> None:
    save_shard(tmp_path / "train_0.npz", [labelled(0, 1)])
    folder = ShardFolder(tmp_path)
    assert len(folder) == 1
    save_shard(tmp_path / "train_2.npz", [labelled(1, 1), labelled(2, 3)])
    whole = (tmp_path / "train_2.npz").read_bytes()
    (tmp_path / "train_1.npz").write_bytes(whole[: len(whole) // 2])
    assert folder.refresh() == 1
    assert len(folder) == 3
    assert_equal(folder.image(2), labelled(2, 3))
    (tmp_path / "train_1.npz").write_bytes(whole)
    assert folder.refresh() == 1
    assert len(folder) == 5


def test_file_that_is_no_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "eval.npz"
    with pytest.raises(ConfigError, match=r"eval\.npz"):
        load_shard(path)
    np.savez(path, color=np.zeros((1, 2, 2, 3), np.uint8))
    with pytest.raises(ConfigError, match="lacks mask"):
        load_shard(path)
    with pytest.raises(ConfigError, match="no images"):
        save_shard(path, [])


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


def test_rendered_rooms_are_repeatable_and_labelled(tmp_path: Path) -> None:
    try:
        first, second = (list(render_rooms(7, 1, 2)) for _ in range(2))
    except PerceptionError as error:
        pytest.skip(str(error))
    for one, other in zip(first, second, strict=True):
        assert_equal(one, other)
    assert len(np.unique(first[0].mask)) > 1
    write_shards(tmp_path, 1, 2, (64, 48), evaluation_rooms=1)
    assert len(load_shard(tmp_path / "eval.npz")) == 1
    assert len(ShardFolder(tmp_path)) == 2
    assert_equal(ShardFolder(tmp_path).image(1), scaled(list(render_rooms(0, 1, 2))[1], 64, 48))
