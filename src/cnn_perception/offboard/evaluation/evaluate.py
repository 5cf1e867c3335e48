"""A bundle run over labelled images, and everything that is said about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cnn_perception.config import SessionConfig
from cnn_perception.errors import DatasetError
from cnn_perception.offboard.evaluation.bundles import Run, start_run
from cnn_perception.offboard.evaluation.data import EvaluationData
from cnn_perception.offboard.evaluation.report import report
from cnn_perception.offboard.evaluation.worst import WorstImages, judge
from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["Evaluation", "evaluate_bundle"]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What was measured: the metric with its bundle, the report, and the worst images."""

    run: Run
    report: dict[str, Any]
    worst: WorstImages


def evaluate_bundle(
    bundle: ModelBundle,
    data: EvaluationData,
    session: SessionConfig | None = None,
    *,
    worst: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Measure a bundle as a robot runs it, and keep the `worst` images.

    `progress` is called after each image. Raises ModelError for a bundle that does not run,
    DatasetError for data without images, and what reading the data raises.
    """
    known = data.known(len(bundle.labels))
    run = start_run(bundle, session, known)
    worst_images = WorstImages(worst)
    for number, image in enumerate(data):
        answer = run.update(image)
        if worst:
            worst_images.offer(image, judge(bundle, image, answer, known), number)
        progress()
    if run.images == 0:
        raise DatasetError(f"{data.source}: no image to measure on: give data that have some")
    return Evaluation(run, report(run, data), worst_images)
