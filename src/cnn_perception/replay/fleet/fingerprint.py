"""What a test depends on, as one digest: a test whose digest is the same need not be run again."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path

import cnn_perception
from cnn_perception.components.registry import component_kind
from cnn_perception.parameters import ModelConfig
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.plan import ReplayPlan, node_parameters
from cnn_perception.runtime.bundle import file_digest, load_bundle

__all__ = ["bag_files", "fingerprint", "model_digests"]

_BUNDLES = ("model", "palette")
"""Parameters that name a bundle."""


def fingerprint(
    bag: Path, plan: ReplayPlan, expectations: Expectations, models: Mapping[str, str]
) -> str:
    """Return the sha256 of everything that decides about a test, as 64 hexadecimal digits.

    Of the bag, which may be large, names, sizes and times of last change are taken; of golden
    results and true map the content; models: from `model_digests`.
    """
    content = {
        "version": cnn_perception.__version__,
        "bag": str(bag.absolute()),
        "files": [
            (str(file.relative_to(bag.parent)), size.st_size, size.st_mtime_ns)
            for file in bag_files(bag)
            for size in (file.stat(),)
        ],
        "plan": plan.as_mapping(),
        "true map": _digests(plan.truth.map if plan.truth else None),
        "expectations": dataclasses.asdict(expectations),
        "golden": _digests(expectations.golden),
        "models": dict(models),
    }
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def model_digests(plan: ReplayPlan) -> dict[str, str]:
    """Return the sha256 of every file that a plan names: of bundles, and of installed components.

    Of a component that is its module. Raises ModelError and ConfigError.
    """
    files: set[Path] = {Path(inspect.getfile(component_kind(name))) for name in plan.others}
    for node, parameters in plan.parameters.items():
        if node in plan.others and ModelConfig not in node_parameters(node).configs:
            continue  # what it calls a model may be anything
        for name in filter(None, (parameters.get(key) for key in _BUNDLES)):
            bundle = load_bundle(name)
            files |= {bundle.file, bundle.model, *(graph.file for graph in bundle.explain)}
    return {str(file): file_digest(file) for file in sorted(files)}


def bag_files(bag: Path) -> tuple[Path, ...]:
    """Return the files of a bag, sorted; none where there is no bag."""
    if bag.is_dir():
        return tuple(sorted(file for file in bag.rglob("*") if file.is_file()))
    return (bag,) if bag.is_file() else ()


def _digests(path: Path | None) -> list[tuple[str, str]]:
    if path is None:
        return []
    return [(str(file.relative_to(path.parent)), file_digest(file)) for file in bag_files(path)]
