"""Meshes are closed, have the size asked for, and face outwards."""

from __future__ import annotations

import numpy as np
import pytest

from cnn_perception.offboard.simulation.meshes import (
    Mesh,
    box,
    capsule,
    cylinder,
    ellipsoid,
    lathe,
    merge,
    rotation,
    sheet,
    tube,
)


def volume(mesh: Mesh) -> float:
    """Signed volume by the divergence theorem: positive where faces wind outwards."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces].astype(float), 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def winding_agrees(mesh: Mesh) -> bool:
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces].astype(float), 1, 0)
    return bool(((np.cross(b - a, c - a) * mesh.normals[mesh.faces].sum(axis=1)).sum(1) > 0).all())


@pytest.mark.parametrize("bevel", [0.0, 0.02])
def test_box_has_its_size_and_volume(bevel: float) -> None:
    mesh = box((0.4, 0.2, 0.3), (1.0, 2.0, 3.0), bevel=bevel)
    np.testing.assert_allclose(mesh.vertices.min(0), [0.8, 1.9, 2.85], atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.max(0), [1.2, 2.1, 3.15], atol=1e-6)
    assert volume(mesh) == pytest.approx(0.024, rel=0.03 if bevel else 1e-5)
    assert (volume(mesh) < 0.024 - 1e-6) == (bevel > 0)


@pytest.mark.parametrize(
    ("mesh", "expected"),
    [
        (cylinder(0.3, 0.5, segments=64), np.pi * 0.09 * 0.5),
        (ellipsoid((0.1, 0.2, 0.3), rows=33, segments=64), 4 / 3 * np.pi * 0.006),
        (lathe([(0.0, 0.0), (0.2, 0.0), (0.0, 0.6)], 64), np.pi * 0.04 * 0.6 / 3),
        (
            capsule((0, 0, 0), (0.3, 0.4, 0.0), 0.1, segments=64),
            np.pi * 0.01 * 0.5 + 4 / 3 * np.pi * 0.001,
        ),
    ],
    ids=["cylinder", "ellipsoid", "cone", "capsule"],
)
def test_round_solids_have_the_volume_of_the_textbook(mesh: Mesh, expected: float) -> None:
    assert volume(mesh) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize(
    "mesh",
    [
        box((1, 2, 3), bevel=0.1),
        cylinder(0.2, 0.4, bevel=0.02),
        ellipsoid((0.1, 0.2, 0.3)),
        capsule((0, 0, 0), (0, 1, 1), 0.1, 0.05),
        tube([(0, 0, 0), (0, 0, 1), (0.5, 0, 1.5)], 0.05),
        sheet(2.0, 1.0),
    ],
    ids=["box", "cylinder", "ellipsoid", "capsule", "tube", "sheet"],
)
def test_faces_wind_the_way_their_normals_point(mesh: Mesh) -> None:
    assert winding_agrees(mesh)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1.0, atol=1e-5)


def test_moving_and_merging_keep_every_face() -> None:
    first, second = box((1, 1, 1)), sheet(1, 1)
    both = merge([first, second.moved((5, 0, 0), rotation("y", 0.3))])
    assert len(both.faces) == len(first.faces) + len(second.faces)
    assert both.faces.max() == len(both.vertices) - 1
    assert winding_agrees(both)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_rotation_turns_counterclockwise_about_its_axis(axis: str) -> None:
    matrix = rotation(axis, 0.7)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    basis = np.eye(3)
    k = "xyz".index(axis)
    turned = matrix @ basis[(k + 1) % 3]
    np.testing.assert_allclose(turned @ basis[(k + 1) % 3], np.cos(0.7))
    np.testing.assert_allclose(turned @ basis[(k + 2) % 3], np.sin(0.7))
