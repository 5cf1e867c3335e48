"""Classes of cells: the documented formula by hand, and every vote against a plain recount."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest

from cnn_perception.config import MapperConfig, SemanticsConfig
from cnn_perception.errors import MessageError
from cnn_perception.mapping.files.color_codec import decode_color, encode_color
from cnn_perception.mapping.keys import KEY_ORIGIN
from cnn_perception.mapping.leaves import Leaves, sort_leaves
from cnn_perception.mapping.projection import depth_to_points
from cnn_perception.mapping.semantic.class_colors import class_colors, color_leaves
from cnn_perception.mapping.semantic.semantics import LabelledCells, SemanticLayer
from cnn_perception.types import CameraIntrinsics, RigidTransform
from plain_octomap import PlainTree
from pruned_leaves import prune

LABELS = {0: "background", 1: "floor", 2: "wall", 3: "table"}
CAMERA = CameraIntrinsics(48, 36, 40.0, 40.0, 23.5, 17.5)
HERE = RigidTransform.identity()
Votes = dict[tuple[int, int, int], Counter[int]]


def layer(resolution: float = 0.1, labels: Any = None, **settings: Any) -> SemanticLayer:
    made = SemanticLayer(resolution, SemanticsConfig(**settings))
    made.labels = LABELS if labels is None else labels
    return made


def occupied(keys: Any, depth: int = 16) -> Leaves:
    array = np.unique(np.array(keys, np.uint16).reshape(-1, 3), axis=0)
    count = len(array)
    return sort_leaves(Leaves(array, np.full(count, depth, np.uint8), np.ones(count, np.float32)))


def everything() -> Leaves:
    """A map in which every cell is occupied."""
    return occupied([[0, 0, 0]], depth=0)


def found(semantics: SemanticLayer, leaves: Leaves | None = None) -> dict[Any, tuple[int, float]]:
    cells = semantics.labelled(leaves if leaves is not None else everything())
    keys = map(tuple, cells.keys.tolist())
    answers = zip(cells.class_ids.tolist(), cells.confidences.tolist(), strict=True)
    return dict(zip(keys, answers, strict=True))


def one_pixel(class_ids: Any, *, depth: float = 1.0) -> tuple[Any, Any, CameraIntrinsics]:
    """An image whose pixels all end in one cell, with these class ids in its only row."""
    mask = np.array([class_ids], np.uint8)
    width = mask.shape[1]
    camera = CameraIntrinsics(width, 1, 1e6, 1e6, -1e4, -1e4)
    return np.full((1, width), depth, np.float32), mask, camera


def recount(frames: list[tuple[Any, Any, RigidTransform]], resolution: float) -> Votes:
    """Count votes plainly, as the module's text says."""
    votes: Votes = defaultdict(Counter)
    for depth, mask, pose in frames:
        points = depth_to_points(depth, CAMERA, target_from_camera=pose)
        v, u = np.nonzero(depth > 0)
        down = ((v + 0.5) * mask.shape[0] / CAMERA.height).astype(int)
        across = ((u + 0.5) * mask.shape[1] / CAMERA.width).astype(int)
        pixels: Votes = defaultdict(Counter)
        for point, class_id in zip(points, mask[down, across], strict=True):
            key = tuple(
                math.floor((1.0 / resolution) * float(c)) + KEY_ORIGIN for c in point.tolist()
            )
            pixels[key][int(class_id)] += 1
        for key, counter in pixels.items():
            for class_id, count in counter.items():
                if LABELS.get(class_id, "background") != "background":
                    votes[key][class_id] += count / counter.total()
    return {key: counter for key, counter in votes.items() if counter}


def random_frames(seed: int, scans: int, mask_size: tuple[int, int], classes: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(scans):
        depth = rng.uniform(0.5, 2.0, (CAMERA.height, CAMERA.width)).astype(np.float32)
        depth[rng.random(depth.shape) < 0.1] = np.nan
        mask = rng.integers(0, classes, mask_size).astype(np.uint8)
        quaternion = tuple(rng.standard_normal(4).tolist())
        pose = RigidTransform.from_quaternion(tuple(rng.uniform(-1, 1, 3).tolist()), quaternion)
        frames.append((depth, mask, pose))
    return frames


@pytest.mark.parametrize("mask_size", [(36, 48), (72, 96), (18, 24), (50, 33), (1, 1)])
def test_votes_equal_a_plain_recount(mask_size: tuple[int, int]) -> None:
    frames = random_frames(7, 3, mask_size, classes=6)  # 4 and 5 have no label
    semantics = layer(doubt=1.0)
    for depth, mask, pose in frames:
        semantics.fuse(depth, mask, CAMERA, pose)
    expected = recount(frames, 0.1)
    answers = found(semantics)
    assert set(answers) == set(expected)
    assert len(expected) > 1500
    for key, (class_id, confidence) in answers.items():
        votes = expected[key]
        assert votes[class_id] == pytest.approx(max(votes.values()), abs=1e-6)
        posterior = (votes[class_id] + 1.0 / 3) / (votes.total() + 1.0)
        assert confidence == pytest.approx(posterior, abs=1e-6)


def test_a_painted_wall_has_its_classes_where_they_are_painted() -> None:
    depth = np.full((36, 48), 2.04, np.float32)
    mask = np.where(np.arange(48) < 24, 2, 3).astype(np.uint8)[None].repeat(36, axis=0)
    mask[:4] = 0
    semantics = layer()
    report = semantics.fuse(depth, mask, CAMERA, HERE)
    assert (report.pixels, report.ignored, report.unknown) == (36 * 48, 4 * 48, 0)
    assert report.used == 32 * 48
    cells = semantics.labelled(everything())
    centers = cells.cells(0.1).centers
    assert np.abs(centers[:, 2] - 2.05).max() < 1e-5
    assert (cells.class_ids == np.where(centers[:, 0] < 0, 2, 3)).all()
    assert centers[:, 1].min() > -0.85  # the rows of background lie above
    assert set(cells.class_ids.tolist()) == {2, 3}


def test_the_cells_are_those_that_the_scan_makes_occupied() -> None:
    config = MapperConfig(resolution=0.1, max_range=1.5)
    tree = PlainTree(0.1)
    ((depth, _, pose),) = random_frames(3, 1, (36, 48), 2)
    points = depth_to_points(depth, CAMERA, target_from_camera=pose)
    tree.insert(points, pose.translation.astype(np.float32), config)
    leaves = tree.leaves()
    semantics = layer()
    semantics.fuse(depth, np.ones((36, 48), np.uint8), CAMERA, pose, max_range=1.5)
    assert len(semantics) == len(semantics.labelled(leaves))
    expected = leaves.select(leaves.occupied).finest().keys
    np.testing.assert_array_equal(semantics.labelled(leaves).keys, expected)


@pytest.mark.parametrize(
    ("scans", "class_id", "confidence"),
    [
        # (votes + doubt / C) / (all votes + doubt) with doubt 1 and C = 3
        ([[1]], 1, (1 + 1 / 3) / 2),
        ([[1], [1], [2]], 1, (2 + 1 / 3) / 4),
        ([[1], [2]], 1, (1 + 1 / 3) / 3),  # of equals the lower id
        ([[3], [2]], 2, (1 + 1 / 3) / 3),
        ([[1, 1, 1, 2]], 1, (0.75 + 1 / 3) / 2),
        ([[1, 1, 1, 2], [2, 2, 2, 2]], 2, (1.25 + 1 / 3) / 3),
        ([[1, 0, 0, 0]], 1, (0.25 + 1 / 3) / 1.25),  # ignored pixels weaken the vote
        ([[1, 9]], 1, (0.5 + 1 / 3) / 1.5),  # and so do those of unknown classes
    ],
)
def test_conflicts_resolve_as_the_formula_says(
    scans: list[list[int]], class_id: int, confidence: float
) -> None:
    semantics = layer(doubt=1.0)
    for scan in scans:
        semantics.fuse(*one_pixel(scan), HERE)
    ((_, answer),) = found(semantics).items()
    assert answer[0] == class_id
    assert answer[1] == pytest.approx(confidence, abs=1e-6)


def test_many_pixels_of_one_scan_are_one_vote() -> None:
    few, many = layer(), layer()
    few.fuse(*one_pixel([2]), HERE)
    many.fuse(*one_pixel([2] * 500), HERE)
    assert found(few) == found(many)


def test_doubt_is_the_weight_of_the_prior() -> None:
    semantics = layer(doubt=10.0)
    semantics.fuse(*one_pixel([1]), HERE)
    ((_, (_, confidence)),) = found(semantics).items()
    assert confidence == pytest.approx((1 + 10 / 3) / 11, abs=1e-6)


def test_old_votes_fade_so_that_a_change_is_believed() -> None:
    semantics = layer(memory=10.0)
    for _ in range(100):
        semantics.fuse(*one_pixel([1]), HERE)
    old, new = 10.0, 0.0
    flips = 0
    while old >= new:
        old, new, flips = old * 10 / 11, (new + 1) * 10 / 11, flips + 1
    for scan in range(flips):
        assert [answer[0] for answer in found(semantics).values()] == [1], scan
        semantics.fuse(*one_pixel([2]), HERE)
    ((_, (class_id, confidence)),) = found(semantics).items()
    assert (class_id, flips) == (2, 8)
    assert confidence == pytest.approx((new + 1 / 3) / 11, abs=1e-5)


def test_a_cell_keeps_its_eight_strongest_classes() -> None:
    labels = {i: f"class {i}" for i in range(10)}
    semantics = layer(labels=labels)
    for class_id in [*range(8), *range(8)]:
        semantics.fuse(*one_pixel([class_id]), HERE)
    semantics.fuse(*one_pixel([8]), HERE)  # one vote against two of each of the others
    assert found(semantics).popitem()[1][0] == 0
    weak = layer(labels=labels)
    for scan in ([0, 1, 2, 3], [4, 5, 6, 7], [8], [8]):
        weak.fuse(*one_pixel(scan), HERE)
    assert found(weak).popitem()[1] == (8, pytest.approx((2 + 1 / 10) / (1.75 + 2 + 1), abs=1e-6))


def test_more_than_eight_classes_in_one_scan_do_no_harm() -> None:
    semantics = layer(labels={i: f"class {i}" for i in range(30)})
    report = semantics.fuse(*one_pixel([*range(20), 0]), HERE)
    assert report.used == 21
    assert found(semantics).popitem()[1][0] == 0


def test_an_unknown_class_has_no_vote_and_is_counted() -> None:
    semantics = layer()
    depth, mask, camera = one_pixel([200, 0, 0])
    report = semantics.fuse(depth, mask, camera, HERE)
    assert (report.pixels, report.ignored, report.unknown) == (3, 2, 1)
    assert len(semantics) == 0
    wide = mask.astype(np.uint16) * 300
    assert semantics.fuse(depth, wide, camera, HERE).unknown == 1


def test_without_labels_nothing_is_mapped() -> None:
    semantics = SemanticLayer(0.1)
    assert semantics.fuse(*one_pixel([1, 2]), HERE).unknown == 2
    assert found(semantics) == {}


def test_class_ids_may_be_as_large_as_a_mask_can_say() -> None:
    semantics = layer(labels={65535: "void", 0: "background"})
    depth, _, camera = one_pixel([1])
    semantics.fuse(depth, np.full((1, 1), 65535, np.uint16), camera, HERE)
    assert found(semantics).popitem()[1] == (65535, 1.0)  # the only class that there is


def test_which_classes_are_ignored_is_a_setting() -> None:
    semantics = layer(ignore=("wall", "table"))
    report = semantics.fuse(*one_pixel([2, 3, 0]), HERE)
    assert report.ignored == 2
    assert found(semantics).popitem()[1][0] == 0
    assert semantics.classes == 2


def test_new_names_for_known_ids_forget_the_votes() -> None:
    semantics = layer()
    semantics.fuse(*one_pixel([1]), HERE)
    semantics.labels = {**LABELS, 4: "chair"}
    assert len(semantics) == 1
    semantics.labels = {**LABELS, 1: "ceiling"}
    assert len(semantics) == 0


def test_cells_below_the_least_confidence_have_no_class() -> None:
    semantics = layer(min_confidence=0.6)
    semantics.fuse(*one_pixel([1, 2]), HERE)
    semantics.fuse(*one_pixel([1], depth=2.0), HERE)
    assert [answer[0] for answer in found(semantics).values()] == [1]
    assert len(semantics) == 2


def test_what_is_not_occupied_is_forgotten() -> None:
    semantics = layer()
    for depth in (1.0, 2.0, 3.0):
        semantics.fuse(*one_pixel([1], depth=depth), HERE)
    keys = list(found(semantics))
    assert len(keys) == 3
    assert set(found(semantics, occupied(keys[:2]))) == set(keys[:2])
    assert set(found(semantics)) == set(keys[:2])
    freed = occupied(keys[:2])
    freed = Leaves(freed.keys, freed.depths, np.float32([-2.0, 1.0]))
    assert list(found(semantics, freed)) == [tuple(freed.keys[1].tolist())]
    semantics.prune(Leaves.empty())
    assert len(semantics) == 0


def test_boxes_are_cleared() -> None:
    semantics = layer()
    for depth in (1.0, 2.0, 3.0):
        semantics.fuse(*one_pixel([1], depth=depth), HERE)
    first, second, third = sorted(found(semantics))
    corner = (np.array(second) - KEY_ORIGIN) * 0.1
    semantics.clear_box(np.float32(corner + 0.04), np.float32(corner + 0.06))
    assert sorted(found(semantics)) == [first, third]
    semantics.clear_box(np.float32([-9, -9, -9]), np.float32([-1, 9, 9]))
    assert sorted(found(semantics)) == [first, third]
    semantics.clear_box(np.float32([-np.inf, -np.inf, 1.55]), np.float32([1e9, np.inf, np.inf]))
    assert sorted(found(semantics)) == [first]
    semantics.clear_box(np.float32([0, 0, 0]), np.float32([1, 1, 1.05]))
    assert len(semantics) == 0
    semantics.fuse(*one_pixel([2], depth=1.0), HERE)
    assert found(semantics)[first][0] == 2
    semantics.clear()
    assert found(semantics) == {}


def test_it_asks_to_be_pruned_before_it_grows_without_bound() -> None:
    semantics = layer(0.01)
    scans = 0
    for frame in random_frames(1, 40, (36, 48), 4):
        if semantics.wants_pruning:
            break
        semantics.fuse(frame[0], frame[1], CAMERA, frame[2])
        scans += 1
    assert 5 < scans < 40
    votes = found(semantics)
    kept = list(votes)[::2]
    semantics.prune(occupied(kept))
    assert len(semantics) == len(kept)
    assert not semantics.wants_pruning
    assert found(semantics) == {key: votes[key] for key in kept}


def test_growing_loses_no_vote() -> None:
    frames = random_frames(5, 6, (36, 48), classes=4)
    semantics = layer(0.01)
    for depth, mask, pose in frames:
        semantics.fuse(depth, mask, CAMERA, pose)
    assert len(found(semantics)) == len(recount(frames, 0.01)) > 4096


def test_loops_of_a_recording_add_up_to_the_same_classes() -> None:
    frames = random_frames(2, 4, (36, 48), classes=4)
    once, thrice = layer(), layer()
    for loops, semantics in ((1, once), (3, thrice)):
        for depth, mask, pose in frames * loops:
            semantics.fuse(depth, mask, CAMERA, pose)
    first, third = once.labelled(everything()), thrice.labelled(everything())
    np.testing.assert_array_equal(first.keys, third.keys)
    np.testing.assert_array_equal(first.class_ids, third.class_ids)
    assert (third.confidences >= first.confidences).all()


def test_ranges_and_stride_are_those_of_the_map() -> None:
    semantics = layer()
    depth = np.array([[0.2, 1.0, 3.0, np.nan, np.inf, -1.0, 0.0, 1e30]], np.float32)
    mask = np.ones((1, 8), np.uint8)
    camera = CameraIntrinsics(8, 1, 1e6, 1e6, 0.0, 0.0)
    assert semantics.fuse(depth, mask, camera, HERE).pixels == 3  # the last is off the map
    ranged = semantics.fuse(depth, mask, camera, HERE, min_range=0.5, max_range=2.0)
    assert ranged.pixels == 1
    full = np.ones((36, 48), np.float32)
    assert semantics.fuse(full, full.astype(np.uint8), CAMERA, HERE, stride=4).pixels == 9 * 12


def test_images_that_do_not_fit_are_refused() -> None:
    semantics = layer()
    mask = np.ones((36, 48), np.uint8)
    with pytest.raises(MessageError, match="depth image is 10x10") as error:
        semantics.fuse(np.ones((10, 10), np.float32), mask, CAMERA, HERE)
    assert error.value.reason == "size_mismatch"
    for bad in (mask[:0], mask[..., None]):
        with pytest.raises(MessageError, match="is no image"):
            semantics.fuse(np.ones((36, 48), np.float32), bad, CAMERA, HERE)


def test_memory_is_bounded_by_the_cells() -> None:
    semantics = layer(0.02)
    for depth, mask, pose in random_frames(4, 8, (36, 48), 4):
        semantics.fuse(depth, mask, CAMERA, pose)
    assert semantics.memory_bytes() <= 2 * 100 * len(semantics)


def test_colors_are_those_of_the_segmenter() -> None:
    colors = class_colors(LABELS)
    assert colors.shape == (4, 3)
    assert colors[0].tolist() == [0, 0, 0]
    assert len(np.unique(colors, axis=0)) == 4
    own = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    assert class_colors({5: "a"}, own).tolist() == [[1, 2, 3], [4, 5, 6]] * 3
    assert len(class_colors({})) == 1


def test_a_colored_tree_splits_cubes_where_classes_differ() -> None:
    cube = np.indices((8, 8, 8)).reshape(3, -1).T.astype(np.uint16) + 16
    free = Leaves(np.array([[64, 0, 0]], np.uint16), np.full(1, 14, np.uint8), np.float32([-2.0]))
    leaves = prune(occupied(cube))
    assert leaves.depths.tolist() == [13]
    both = sort_leaves(
        Leaves(
            np.concatenate([leaves.keys, free.keys]),
            np.concatenate([leaves.depths, free.depths]),
            np.concatenate([leaves.log_odds, free.log_odds]),
        )
    )
    known = cube[cube[:, 0] < 20]
    cells = LabelledCells(known, np.full(len(known), 2, np.int32), np.ones(len(known), np.float32))
    colors = class_colors(LABELS)
    tree = color_leaves(both, cells, colors)
    assert sorted(tree.leaves.depths.tolist()) == [14] * 9  # eight halves of the cube, and the free
    finest = {}
    for key, span, color in zip(
        tree.leaves.keys.tolist(), tree.leaves.spans.tolist(), tree.colors.tolist(), strict=True
    ):
        steps = np.indices((span,) * 3).reshape(3, -1).T + key
        finest |= {tuple(step): color for step in steps.tolist()}
    for key in cube.tolist():
        assert finest[tuple(key)] == (colors[2].tolist() if key[0] < 20 else [255, 255, 255])
    assert finest[(64, 0, 0)] == [255, 255, 255]
    np.testing.assert_array_equal(prune(tree.leaves).keys, both.keys)
    np.testing.assert_array_equal(decode_color(encode_color(tree)).colors, tree.colors)


def test_cells_that_the_map_lacks_get_no_color() -> None:
    cells = LabelledCells(
        np.array([[9, 9, 9]], np.uint16), np.full(1, 1, np.int32), np.ones(1, np.float32)
    )
    tree = color_leaves(occupied([[1, 1, 1]]), cells, class_colors(LABELS))
    assert tree.colors.tolist() == [[255, 255, 255]]
    assert len(color_leaves(Leaves.empty(), cells, class_colors(LABELS)).leaves) == 0
