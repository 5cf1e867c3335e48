"""The model card: a README.md that says what a bundle is, from the files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnn_perception.errors import ModelError
from cnn_perception.formats.ssd_raw import SsdRawFormat
from cnn_perception.runtime.bundle import ModelBundle, load_bundle
from cnn_perception.settings.files import read_yaml

__all__ = ["CARD_FILE", "PLAN_FILE", "write_card"]

CARD_FILE = "README.md"

PLAN_FILE = "training.yaml"
"""The training plan, beside the model.yaml of a network that was trained here."""

_WEAKEST = 3


def write_card(folder: Path) -> Path:
    """Write a bundle's model card (Mitchell et al. 2019), and return its path.

    All of it comes from model.yaml, the network, and the training plan where there is one. Raises
    ModelError for a folder that holds no usable bundle.
    """
    bundle = load_bundle(folder)
    plan = folder / PLAN_FILE
    lines = [f"# {bundle.name}", "", bundle.description, "", *_facts(bundle)]
    lines += ["", "## Figures", "", *_figures(bundle)]
    lines += ["", "## Training", "", *_training(bundle, plan)]
    lines += ["", "## Limits", "", *_limits(bundle)]
    path = folder / CARD_FILE
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _facts(bundle: ModelBundle) -> Iterator[str]:
    """Yield a table of what the bundle is."""
    spec, network = bundle.input, bundle.model
    rows = {
        "task": bundle.task,
        "version": bundle.version,
        "licence": bundle.licence,
        "source": bundle.source,
        "input": f"{spec.width}x{spec.height} {spec.channels}, {spec.resize}",
        "output": f"`{bundle.output.name}`, {len(bundle.labels)} labels",
        "network": f"`{network.name}`, {network.stat().st_size / 1e6:.2f} MB, "
        f"ONNX opset {_opset(network)}, batch normalisation folded",
        "explain graphs": str(len(bundle.explain) or "none"),
        "made by": "cnn-perception; compared with PyTorch on real images before it was written",
    }
    yield "| | |"
    yield "|---|---|"
    for key, value in rows.items():
        yield f"| {key} | {value} |"


def _figures(bundle: ModelBundle) -> Iterator[str]:
    """Yield what was measured: totals in a sentence, classes in a table."""
    if not bundle.quality:
        yield "Nothing was measured: try `cnn-perception evaluate`."
        return
    totals = {key: value for key, value in bundle.quality.items() if not _is_table(value)}
    yield f"On {totals.pop('dataset', 'an unnamed data set')}: " + ", ".join(
        f"{key} {_shown(value)}" for key, value in totals.items()
    )
    tables = _tables(bundle)
    if tables:
        yield ""
        yield f"| label | {' | '.join(tables)} |"
        yield "|---|" + "---|" * len(tables)
        for label in bundle.labels:
            cells = (_shown(table.get(label)) for table in tables.values())
            yield f"| {label} | {' | '.join(cells)} |"


def _training(bundle: ModelBundle, file: Path) -> Iterator[str]:
    """Yield history, data, seed and plan of a network that was trained here."""
    plan = read_yaml(file, ModelError) if file.is_file() else None
    if not isinstance(plan, dict):
        yield "The network was not trained with `cnn-perception train`: see its source."
        return
    optimisation = plan.get("optimisation") or {}
    yield f"`cnn-perception train` on this plan, kept in [{file.name}]({file.name});"
    yield f"seed {optimisation.get('seed', 0)}, data: {_inline(plan.get('data') or {})}."
    if bundle.history:
        yield ""
        yield bundle.history
    yield ""
    yield "```yaml"
    yield file.read_text(encoding="utf-8").rstrip()
    yield "```"


def _limits(bundle: ModelBundle) -> Iterator[str]:
    """Yield what the network must not be trusted with."""
    if bundle.limits:
        yield f"- {bundle.limits}"
    yield (
        f"- It knows {len(bundle.labels)} labels: whatever else is in a picture is not seen, or is "
        "taken for one of them."
    )
    dataset = bundle.quality.get("dataset")
    known = f"The figures hold for {dataset}. " if dataset else ""
    yield f"- {known}Other places, cameras and light were not measured: measure yours."
    for name, table in _tables(bundle).items():
        known_values = {key: value for key, value in table.items() if value is not None}
        weakest = sorted(known_values, key=lambda key: float(known_values[key]))[:_WEAKEST]
        yield f"- Weakest by {name}: {', '.join(weakest)}."
        break
    if isinstance(bundle.output, SsdRawFormat):
        boxes = bundle.output.default_boxes
        smallest = boxes.scales[0] * min(bundle.input.width, bundle.input.height)
        yield (
            f"- Its smallest default boxes are {smallest:.0f} pixels of the "
            f"{bundle.input.width}x{bundle.input.height} input: much smaller objects are missed."
        )


def _tables(bundle: ModelBundle) -> dict[str, Mapping[str, Any]]:
    return {key: value for key, value in bundle.quality.items() if _is_table(value)}


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _opset(network: Path) -> int:
    """Return the version of ONNX's operators that a file uses."""
    import onnx

    model = onnx.load(network, load_external_data=False)
    return next(
        int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")
    )


def _inline(tree: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in tree.items()) or "not in the plan"


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
