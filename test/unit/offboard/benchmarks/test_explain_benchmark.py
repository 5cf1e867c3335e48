"""The explanation benchmark: what of a detector is timed without PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnn_perception.errors import ConfigError
from cnn_perception.explain.explainer import Explainer, LoadedGraph
from cnn_perception.image.draw import blend_heatmap
from cnn_perception.offboard.benchmarks.explain import (
    apart,
    detection_jobs,
    normalised,
    overlay_job,
)
from cnn_perception.offboard.benchmarks.race import Job, race
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.runtime.inference import Session
from models import GRIDS, LABELS, anchor_of, paint, write_classifier_bundle, write_detector_bundle

PICTURE = paint({(2, 3): "red", (5, 6): "green", (1, 1): (220, 0, 0)})


class Ideal:
    """Answers as the bundle does: its maps are those of its own explain graphs, or another's."""

    def __init__(self, bundle: ModelBundle, off: float = 0.0) -> None:
        self._bundle, self._off = bundle, off
        self.asked: list[tuple[str, int, int]] = []

    def infer(self, tensor: np.ndarray) -> dict[str, np.ndarray]:
        names = list(self._bundle.output.tensors.values())
        return Session(self._bundle).run({self._bundle.input.name: tensor}, names)

    def grad_cam(
        self, tensor: np.ndarray, feature_map: str, row: int, class_index: int
    ) -> np.ndarray:
        self.asked.append((feature_map, row, class_index))
        session = Session(self._bundle)
        (spec,) = (x for x in self._bundle.explain if x.feature_map == feature_map)
        graph = LoadedGraph(self._bundle, spec, session, None)
        tensors = session.run({self._bundle.input.name: tensor})
        asked = {"anchor": np.array([row - spec.first]), "class_index": np.array([class_index])}
        cam = normalised(normalised(graph.cam(tensors, asked, "gradcam")))
        return np.asarray(cam * (1 - self._off) + self._off * (cam > 0.5), np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    return load_bundle(write_detector_bundle(tmp_path / "colors"))


def names(job: Job) -> list[str]:
    return [each.name for each in job.contenders]


def test_a_detector_alone(bundle: ModelBundle) -> None:
    best, graphs, further, shared = detection_jobs(bundle, PICTURE)
    assert best.name == "colors: the best detection (red)"
    assert names(best) == ["Explainer", "detector alone"]
    assert names(graphs) == ["detector alone", "level 0, 8x6", "level 1, 4x3"]
    assert names(further) == ["1 explained", "3 explained"]
    assert further.gap is not None and further.gap.count == 2
    assert [each.difference for each in shared.contenders] == [None, 0.0]
    results = race([best, graphs, further, shared], 2, lambda name, done, total: None)
    assert all(set(result.times) == set(names(result.job)) for result in results)
    gaps = [result.summary().get("gap", {}).get("name") for result in results]
    assert gaps == [None, None, "each further detection", "what sharing saves"]


def test_what_is_timed_is_the_work_that_is_named(bundle: ModelBundle) -> None:
    best, graphs, further, _ = detection_jobs(bundle, PICTURE)
    one, three = (each.run(0) for each in further.contenders)
    assert (len(one.answers), len(three.answers)) == (1, 3)  # type: ignore[attr-defined]
    found = best.contenders[0].run(0)
    np.testing.assert_array_equal(found.heatmap, Explainer(bundle).explain(PICTURE).heatmap)  # type: ignore[attr-defined]
    assert len(best.contenders[1].run(0).boxes) == 3  # type: ignore[attr-defined]
    for (rows, columns), graph in zip(GRIDS, graphs.contenders[1:], strict=True):
        assert np.shape(graph.run(0)) == (rows, columns)


def test_the_shared_network_runs_once_for_each_picture(
    bundle: ModelBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    *_, shared = detection_jobs(bundle, PICTURE)
    count = 0
    run = Session.run

    def counted(self: Session, *arguments: object) -> object:
        nonlocal count
        count += 1
        return run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "run", counted)
    for contender, expected in zip(shared.contenders, (2, 1), strict=True):
        for turn in range(12):  # pictures come again, and must not be remembered
            count = 0
            contender.run(turn)
            assert count == expected


def test_maps_are_compared_with_those_of_the_twin(bundle: ModelBundle) -> None:
    twin = Ideal(bundle)
    best, graphs, *_ = detection_jobs(bundle, PICTURE, twin)
    assert names(best)[:3] == [
        "pytorch-grad-cam after detecting",
        "pytorch-grad-cam alone",
        "Explainer",
    ]
    assert ("feature_0", anchor_of(2, 3), 1 + LABELS.index("red")) in twin.asked
    assert {feature_map for feature_map, *_ in twin.asked} == {"feature_0", "feature_1"}
    compared = [best.contenders[2], *graphs.contenders[1:]]
    assert all((each.difference or 0) < 1e-6 for each in compared)
    assert not best.refused and not graphs.refused


def test_maps_that_are_others_are_refused(bundle: ModelBundle) -> None:
    best, graphs, *_ = detection_jobs(bundle, PICTURE, Ideal(bundle, off=0.1))
    assert list(best.refused) == ["Explainer"]
    assert "level 0, 8x6" in graphs.refused
    (result,) = race([best], 1, lambda name, done, total: None)
    assert "Explainer" not in result.times and "pytorch-grad-cam alone" in result.times


def test_what_cannot_be_measured(bundle: ModelBundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="colors finds nothing in the picture"):
        detection_jobs(bundle, paint({}))
    classifier = load_bundle(write_classifier_bundle(tmp_path / "kinds"))
    with pytest.raises(ConfigError, match="is not ssd_raw: give another"):
        detection_jobs(classifier, PICTURE)


def test_one_detection_has_no_further_ones(bundle: ModelBundle) -> None:
    _, _, further, _ = detection_jobs(bundle, paint({(2, 3): "red"}))
    assert names(further) == ["1 explained"] and further.gap is None


def test_the_overlay() -> None:
    heat = np.linspace(0, 1, PICTURE[..., 0].size, dtype=np.float32).reshape(480, 640)
    job = overlay_job(PICTURE, heat)
    assert job.name == "overlay, 640x480"
    np.testing.assert_array_equal(job.contenders[-1].run(0), blend_heatmap(PICTURE, heat))


def test_distances_of_maps() -> None:
    heat = np.array([[2.0, 4.0], [6.0, 3.0]], np.float32)
    np.testing.assert_allclose(normalised(heat), [[0, 0.5], [1, 0.25]], atol=1e-6)
    assert not normalised(np.zeros((2, 2), np.float32)).any()
    assert apart(heat, heat + np.float32(0.5)) == 0.5
    assert apart(heat, heat[:1]) == float("inf")
