"""What every output format says of itself, by task, and the arithmetic that several share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cnn_perception.errors import ModelError
from cnn_perception.settings import (
    REQUIRED,
    Config,
    Kind,
    SettingError,
    Text,
    missing,
    nearest,
    setting,
    shown,
    unknown,
)
from cnn_perception.types import Float32Array

if TYPE_CHECKING:
    from torch import Tensor

    from cnn_perception.runtime.bundle import ModelBundle

__all__ = [
    "OUTPUT_FORMATS",
    "BackgroundFormat",
    "Bundle",
    "Candidates",
    "ClassAxes",
    "ClassScores",
    "ClassificationFormat",
    "DetectionFormat",
    "Mask",
    "OutputFormat",
    "SegmentationFormat",
    "Shape",
    "Tensors",
    "TorchTensors",
    "best_above",
    "best_class_of_each",
    "every_above",
    "rank",
    "softmax",
    "to_centers",
    "to_corners",
]

_MOST_CANDIDATES = 8192
"""Best candidates that go into suppression: bounds a frame's time when the threshold is near 0."""

Mask = NDArray[np.uint8] | NDArray[np.uint16]

Shape = tuple[int | str, ...]
"""Sizes, of which a letter is any, the same wherever it stands."""
Tensors = Mapping[str, NDArray[Any]]
"""Output tensors without their batch axis, by role."""
TorchTensors: TypeAlias = "Mapping[str, Tensor]"
"""PyTorch's, with their batch axis, by role."""
ClassScores: TypeAlias = "tuple[Tensor, Tensor]"
"""What is explained of every box's classes, and their probabilities: (B, A, C)."""
Bundle: TypeAlias = "ModelBundle"
"""The bundle whose output it is; formats lie below bundles, which are made with them."""


class ClassAxes(NamedTuple):
    """Where a tensor has the classes of every box.

    boxes: axes along which boxes are numbered, one after the other; classes: the axis of the
    classes, of which the first has the index `first` there.
    """

    role: str
    boxes: tuple[int, ...]
    classes: int
    first: int = 0


OUTPUT_FORMATS: dict[str, type[OutputFormat]] = {}
"""The formats by name. They enter themselves: `cnn_perception.formats` imports them all."""


@dataclass(frozen=True, eq=False)
class OutputFormat(Config, ABC):
    """One way in which networks encode their answers, with the names that one network uses.

    Its settings are the keys of model.yaml's output. Of the class: name and task as in model.yaml;
    shapes, by role, where C is the number of labels; dtypes, by role, if not float32; batched,
    whether tensors have a batch axis of 1; is_explained, whether explain graphs can be made for it;
    asked, what these take besides a feature map and a class.
    """

    name: ClassVar[str]
    task: ClassVar[str]
    shapes: ClassVar[Mapping[str, Shape]]
    dtypes: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    batched: ClassVar[bool] = True
    is_explained: ClassVar[bool] = True
    asked: ClassVar[tuple[str, ...]] = ()

    tensors: Mapping[str, Text] = setting(REQUIRED, "The network's tensor for each role")

    def __init_subclass__(cls) -> None:
        """Enter a format into the list; those without a name are bases."""
        if "name" in vars(cls):
            OUTPUT_FORMATS[cls.name] = cls

    @classmethod
    def as_kind(cls) -> Kind:
        """Return what reads model.yaml's output, or of a format the rest of it."""
        return _OutputKind() if cls is OutputFormat else super().as_kind()

    def tree(self) -> dict[str, Any]:
        """Return a model.yaml's output."""
        return {"format": self.name, **_plain(asdict(self))}

    def sizes(self, labels: int) -> dict[str, int]:
        """Return the sizes that are known for so many labels, by the letters of `shapes`."""
        return {"C": labels, **{f"C+{k}": labels + k for k in (1, 4, 5)}}

    def check(self, bundle: Bundle) -> None:
        """Raise ModelError for values that contradict the rest of a bundle."""

    def by_role(self, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return a network's tensors by role, without their batch axis."""
        if self.batched:
            return {role: tensors[name][0] for role, name in self.tensors.items()}
        return {role: tensors[name] for role, name in self.tensors.items()}

    @property
    def boxes_per_level(self) -> tuple[int, ...] | None:
        """How many boxes each level of a detector has, where model.yaml tells."""
        return None


class _OutputKind(Kind):
    """A mapping whose key ``format`` says which further keys it has."""

    @property
    def schema(self) -> dict[str, Any]:  # type: ignore[override]
        return {"anyOf": [_schema(form) for form in OUTPUT_FORMATS.values()]}

    def read(self, value: Any, folder: Path | None) -> OutputFormat:
        if isinstance(value, OutputFormat):
            return value
        if not isinstance(value, Mapping):
            hint = "give a mapping with the keys format, tensors"
            raise SettingError("", f"is {shown(value)}: {hint}")
        rest = dict(value)
        name = rest.pop("format", None)
        if name is None:
            raise missing("format")
        if not isinstance(name, str) or name not in OUTPUT_FORMATS:
            hint = nearest(name, OUTPUT_FORMATS, "choose one of")
            raise SettingError("format", f"= {shown(name)}: {hint}")
        found = OUTPUT_FORMATS[name].from_mapping(rest, folder)
        for role in (*found.tensors, *found.shapes):
            if role not in found.shapes:
                raise unknown(role, found.shapes).below("tensors")
            if role not in found.tensors:
                raise missing(role).below("tensors")
        return found


def _schema(form: type[OutputFormat]) -> dict[str, Any]:
    """Return the JSON schema of a model.yaml's output in a format."""
    schema = dict(form.as_kind().schema)
    tensors = {
        "type": "object",
        "properties": {role: {"type": "string"} for role in form.shapes},
        "required": list(form.shapes),
        "additionalProperties": False,
    }
    own = {"format": {"const": form.name}, **schema["properties"], "tensors": tensors}
    return {**schema, "properties": own, "required": ["format", *schema["required"]]}


@dataclass(frozen=True, eq=False)
class Candidates:
    """Scored boxes before suppression, in the order of the network's output.

    boxes: float32 (N, 4) corners, fractions of the network's input, not clipped; scores: float32
    (N,); class_ids: int32 (N,); anchors: int32 (N,) row or cell of the output.
    """

    boxes: Float32Array
    scores: Float32Array
    class_ids: NDArray[np.int32]
    anchors: NDArray[np.int32]


class DetectionFormat(OutputFormat):
    """Scored boxes. final: each object is named once, so that suppression may be left out.

    class_axes: where the scores of all classes are; None where they are not told, so that nothing
    can be explained.
    """

    task: ClassVar[str] = "detection"
    asked: ClassVar[tuple[str, ...]] = ("anchor",)
    final: ClassVar[bool] = False
    class_axes: ClassVar[ClassAxes | None] = None

    @abstractmethod
    def decode(self, tensors: Tensors, threshold: float, bundle: Bundle) -> Candidates:
        """Return the candidates whose score is at least a threshold.

        bundle: whose labels and input they are of. Raises ModelError for classes without a label.
        """

    def class_scores(self, tensors: TorchTensors) -> ClassScores:
        """Return what is explained of every box, without the background.

        tensors: ``logits`` too, where the network makes its scores of them by sigmoid or softmax.
        """
        raise NotImplementedError(f"{self.name} tells no scores of all classes")

    def class_index(self, class_id: int) -> int:
        """Return where a class stands among the classes of `class_axes`."""
        return class_id


@dataclass(frozen=True, eq=False)
class BackgroundFormat(DetectionFormat):
    """Scored boxes where one class may mean that there is no object."""

    background: int | None = setting(
        None,
        "The column of the scores or the label that means that there is no object",
        between=(0, 1 << 16),
    )

    def check(self, bundle: Bundle) -> None:
        """Raise ModelError for a background beyond the classes: it would be no class at all."""
        count = len(bundle.labels)
        if self.background is not None and self.background > count:
            raise ModelError(
                f"{bundle.file}: output.background = {self.background} but {count} labels and a "
                f"background are numbered 0 to {count}: correct it, or complete labels"
            )

    def class_index(self, class_id: int) -> int:
        """Return where a class stands: those from the background on are one further."""
        return class_id + (self.background is not None and class_id >= self.background)


class SegmentationFormat(OutputFormat):
    """A class for every pixel."""

    task: ClassVar[str] = "segmentation"
    asked: ClassVar[tuple[str, ...]] = ("region",)

    @abstractmethod
    def mask(self, tensors: Tensors, bundle: Bundle) -> Mask:
        """Return the class of each pixel of the network's input, integers at any resolution.

        Raises ModelError for a class without a label.
        """


class ClassificationFormat(OutputFormat):
    """A class for the whole picture."""

    task: ClassVar[str] = "classification"

    @abstractmethod
    def scores(self, tensors: Tensors) -> Float32Array:
        """Return the probability of each class, float32 (C,)."""


def _plain(value: Any) -> Any:
    """Return a value as YAML writes it: lists for tuples, without what is not given."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def softmax(logits: Float32Array) -> Float32Array:
    """Return the softmax over the last axis; finite for any finite logits."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), np.float32)


def to_corners(boxes: Float32Array) -> Float32Array:
    """Return (..., 4) corners x_min, y_min, x_max, y_max of boxes cx, cy, width, height."""
    half = boxes[..., 2:] * 0.5
    return np.concatenate([boxes[..., :2] - half, boxes[..., :2] + half], axis=-1)


def to_centers(boxes: Float32Array) -> Float32Array:
    """Return (..., 4) cx, cy, width, height of boxes given by their corners."""
    size = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([boxes[..., :2] + size * 0.5, size], axis=-1)


def rank(scores: Float32Array, most: int | None = None) -> NDArray[np.int64]:
    """Return indices of scores, highest first, equal ones in their given order; at most `most`."""
    order = np.argsort(-scores, kind="stable")
    return order if most is None else order[:most]


def best_above(scores: Float32Array, threshold: float) -> NDArray[np.int64]:
    """Return the indices, in order, of the best scores that are at least the threshold."""
    keep = np.flatnonzero(scores >= threshold)
    return keep[np.sort(rank(scores[keep], _MOST_CANDIDATES))]


def best_class_of_each(
    centers: Float32Array, scores: Float32Array, threshold: float, size: tuple[int, int] = (1, 1)
) -> Candidates:
    """Return boxes with their best class, where its score is at least the threshold.

    centers: float32 (4, N) cx, cy, width, height; scores: float32 (C, N); size: (width, height) of
    what the boxes are given in, 1 for fractions.
    """
    best = scores.max(axis=0)
    keep = best_above(best, threshold)
    class_ids = scores[:, keep].argmax(axis=0).astype(np.int32)
    whole = np.array(size * 2, np.float32)
    boxes = np.asarray(to_corners(centers[:, keep].T) / whole, np.float32)
    return Candidates(boxes, np.clip(best[keep], 0, 1), class_ids, keep.astype(np.int32))


def every_above(
    scores: Float32Array, threshold: float, background: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int32], Float32Array]:
    """Return (row, class id, score) of all entries of at least the threshold, row by row.

    background: a column that is no class; those after it count one less.
    """
    chosen = scores >= threshold
    if background is not None:
        chosen[:, background] = False
    entries = np.flatnonzero(chosen)
    values = scores.ravel()[entries]
    if len(entries) > _MOST_CANDIDATES:
        best = np.sort(rank(values, _MOST_CANDIDATES))
        entries, values = entries[best], values[best]
    rows, classes = np.divmod(entries, scores.shape[1])
    if background is not None:
        classes -= classes > background
    return rows, classes.astype(np.int32), values
