from __future__ import annotations

import numpy as np

from cnn_perception.image.sheet import text_width
from cnn_perception.metrics.average_precision import PrecisionRecall, precision_recall
from cnn_perception.offboard.evaluation.charts import confusion_chart, precision_recall_chart

RED, BLUE = (255, 0, 0), (0, 0, 255)
AXES = (74, 66, 520, 440)  # x, y, width, height


def curve(verdicts: list[int], objects: int) -> PrecisionRecall:
    scores = np.linspace(0.9, 0.1, len(verdicts)).astype(np.float32)
    return precision_recall(scores, np.array(verdicts, np.int8), objects)


def near(picture: np.ndarray, recall: float, precision: float, color: tuple[int, ...]) -> bool:
    """Whether the chart has the color at a place."""
    x, y, width, height = AXES
    column, row = round(x + width * recall), round(y + height * (1 - precision))
    part = picture[row - 2 : row + 3, column - 2 : column + 3].astype(int)
    return bool((np.abs(part - color).max(-1) < 60).any())


def test_curves_are_where_precision_and_recall_are() -> None:
    # Half of the objects at precision 1, three quarters at 3/4, then nothing.
    one = curve([1, 1, 0, 1], 4)
    other = curve([0, 1], 1)
    picture = precision_recall_chart(
        {"one": one, "other": other}, "title", np.array([RED, BLUE], np.uint8)
    )
    assert picture.dtype == np.uint8 and picture.ndim == 3
    assert near(picture, 0.2, 1.0, RED) and near(picture, 0.45, 1.0, RED)
    assert near(picture, 0.6, 0.75, RED) and not near(picture, 0.6, 1.0, RED)
    assert near(picture, 0.75, 0.3, RED) and not near(picture, 0.9, 0.75, RED)
    assert near(picture, 0.3, 0.5, BLUE) and near(picture, 0.9, 0.5, BLUE)
    mean = (44, 49, 58)
    assert near(picture, 0.3, 0.75, mean) and near(picture, 0.9, 0.25, mean)


def test_many_classes_and_classes_never_found_are_drawn() -> None:
    curves = {f"class {k}": curve([1] * k + [0], 40) for k in range(40)}
    assert curves["class 0"].recall.tolist() == [0]
    picture = precision_recall_chart(curves, "many")
    assert picture.shape == precision_recall_chart(dict(list(curves.items())[-16:]), "16").shape


def test_cells_darken_with_their_share() -> None:
    confusion = np.array([[9, 1, 0, 0], [0, 0, 0, 0], [5, 0, 5, 0], [0, 0, 0, 0]])
    picture = confusion_chart(confusion, ["a", "b", "c", "never"], "title")
    # Three classes occur: the last has neither truth nor answers.
    edge, cell = text_width("a", 8) + 44, 46.0

    def shade(row: int, column: int) -> int:
        y, x = edge + 56 + cell * row + 6, edge + cell * column + 6
        return int(picture[round(y), round(x)].astype(int).sum())

    assert shade(0, 0) < shade(2, 0) < shade(0, 1) < shade(0, 2) == shade(1, 1)
    assert picture.shape[1] < edge + 4 * cell + 30


def test_matrix_of_a_thousand_classes_stays_small() -> None:
    confusion = np.diag(np.arange(1000)) + 1
    picture = confusion_chart(confusion, [f"class {k}" for k in range(1000)], "many")
    assert max(picture.shape) < 1000
    assert confusion_chart(np.zeros((3, 3), np.int64), ["a", "b", "c"], "nothing").size
