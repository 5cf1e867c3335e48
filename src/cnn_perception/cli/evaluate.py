"""``cnn-perception evaluate``: how good a bundle is on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnn_perception.cli.options import Json, Provider, ProviderOption, Threads

if TYPE_CHECKING:
    from cnn_perception.datasets.dataset import Dataset
    from cnn_perception.datasets.labelled import LabelledImage
    from cnn_perception.runtime.bundle import ModelBundle

__all__ = ["command"]

_ROOMS = 200


class _Broken(str, Enum):
    """What to do about files that cannot be used."""

    error = "error"
    skip = "skip"


def command(
    model: Annotated[str, typer.Argument(help="Bundle: a name, a folder or a model.yaml.")],
    rooms: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Rooms to render, {_ROOMS} if not said; with --data the most images used."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="First room.")] = 1_000_000,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Pascal VOC folder, MS COCO folder or .json, or rooms (.npz), instead of rendered "
            "rooms."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Which list of VOC or COCO data; val, else test.")
    ] = None,
    broken: Annotated[
        _Broken, typer.Option(help="Files of VOC or COCO data that cannot be used.")
    ] = _Broken.error,
    print_json: Json = False,
    provider: ProviderOption = Provider.auto,
    threads: Threads = 1,
) -> None:
    """Measure a bundle: average precision of boxes, IoU of masks.

    Classes of VOC and COCO data are matched with the bundle's by name. Those that only one side
    has do not count, and are listed.
    """
    import json
    from itertools import islice

    from cnn_perception.config import SessionConfig
    from cnn_perception.datasets.rooms import load_shard, render_rooms
    from cnn_perception.metrics.bundles import measure_bundle
    from cnn_perception.runtime.bundle import load_bundle

    bundle = load_bundle(model)
    session = SessionConfig(provider=provider.value, threads=threads)
    if data is None or data.suffix == ".npz":
        _check_knows_rooms(bundle)
        images = islice(load_shard(data), rooms) if data else render_rooms(seed, rooms or _ROOMS)
        quality = measure_bundle(bundle, images, session)
    else:
        skip = broken is _Broken.skip
        quality = _measure_data(bundle, data, split, session, limit=rooms, skip=skip)
    if print_json:
        typer.echo(json.dumps(quality))
    else:
        _show(bundle.name, quality)


def _check_knows_rooms(bundle: ModelBundle) -> None:
    from cnn_perception.errors import ModelError
    from cnn_perception.simulation.labels import MASK_LABELS, OBJECT_CLASSES

    wanted = OBJECT_CLASSES if bundle.task == "detection" else MASK_LABELS
    if bundle.labels != wanted:
        raise ModelError(
            f"{bundle.name} does not know the classes of simulated rooms: its labels must be "
            f"{', '.join(wanted)}, or give other images with --data"
        )


def _measure_data(
    bundle: ModelBundle,
    path: Path,
    split: str | None,
    session: Any,
    *,
    limit: int | None,
    skip: bool,
) -> dict[str, Any]:
    """Measure on VOC or COCO data; the classes that both sides know count."""
    from itertools import islice

    from cnn_perception.datasets.class_names import match_classes
    from cnn_perception.datasets.find import open_dataset
    from cnn_perception.errors import ModelError
    from cnn_perception.metrics.bundles import measure_bundle

    if bundle.task not in ("detection", "segmentation"):
        raise ModelError(f"{bundle.name} is for {bundle.task}: give one that finds boxes or masks")
    masks = bundle.task == "segmentation"
    dataset = open_dataset(
        path,
        "segmentation" if masks else "detection",
        split,
        broken="skip" if skip else "raise",
    )
    names = dataset.mask_labels if masks else dataset.labels
    match = match_classes(names, bundle.labels)
    # Every mask has a background; that alone is nothing in common.
    if (match.ids[int(masks) :] < 0).all():
        raise ModelError(
            f"{bundle.name} and {path} have no class in common: the data know {', '.join(names)}"
        )
    images = islice(_in_terms_of(dataset, match, masks), limit)
    quality = measure_bundle(bundle, images, session)
    if masks:
        _count_only(quality, set(bundle.labels) - set(match.only_model))
    return {
        **quality,
        "only_in_data": list(match.only_data),
        "only_in_bundle": list(match.only_model),
        "broken": dict(dataset.broken_files),
    }


def _in_terms_of(dataset: Dataset, match: Any, masks: bool) -> Iterator[LabelledImage]:
    from cnn_perception.datasets.class_names import relabelled

    for image in dataset:
        yield relabelled(image, None if masks else match, match if masks else None)


def _count_only(quality: dict[str, Any], labels: set[str]) -> None:
    """Limit the mean IoU to labels that the data have: the others can only be wrong."""
    quality["iou"] = {
        label: value if label in labels else None for label, value in quality["iou"].items()
    }
    known = [value for value in quality["iou"].values() if value is not None]
    quality["miou"] = round(sum(known) / len(known), 4) if known else None


def _show(title: str, quality: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("class", "value", title=title)
    for name, value in quality.items():
        if name == "broken":
            table.add_row(name, str(len(value)))
        elif isinstance(value, dict):
            for label, figure in value.items():
                table.add_row(f"{name}  {label}", "-" if figure is None else f"{figure:.3f}")
        elif isinstance(value, list):
            table.add_row(name, ", ".join(value) or "-")
        else:
            table.add_row(name, str(value))
    console = Console()
    console.print(table)
    for reason in quality.get("broken", {}).values():
        console.print(f"skipped: {reason}", markup=False, soft_wrap=True)
