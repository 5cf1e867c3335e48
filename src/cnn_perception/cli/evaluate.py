"""``cnn-perception evaluate``: how good a bundle is on rooms that it was not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cnn_perception.cli.options import Json, Provider, ProviderOption, Threads

__all__ = ["command"]


def command(
    model: Annotated[str, typer.Argument(help="Bundle: a name, a folder or a model.yaml.")],
    rooms: Annotated[int, typer.Option(min=1, help="Rooms to render, one view each.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="First room.")] = 1_000_000,
    data: Annotated[
        Path | None, typer.Option(help="Stored images (.npz) instead of rendered ones.")
    ] = None,
    print_json: Json = False,
    provider: ProviderOption = Provider.auto,
    threads: Threads = 1,
) -> None:
    """Measure a bundle for simulated rooms: average precision of boxes, IoU of masks."""
    import json
    from itertools import islice

    from rich.console import Console
    from rich.table import Table

    from cnn_perception.config import SessionConfig
    from cnn_perception.datasets.rooms import load_shard, render_rooms
    from cnn_perception.errors import ModelError
    from cnn_perception.metrics.bundles import measure_bundle
    from cnn_perception.runtime.bundle import load_bundle
    from cnn_perception.simulation.labels import MASK_LABELS, OBJECT_CLASSES

    bundle = load_bundle(model)
    wanted = OBJECT_CLASSES if bundle.task == "detection" else MASK_LABELS
    if bundle.labels != wanted:
        raise ModelError(
            f"{bundle.name} does not know the classes of simulated rooms: its labels must be "
            f"{', '.join(wanted)}"
        )
    images = islice(load_shard(data), rooms) if data else render_rooms(seed, rooms)
    session = SessionConfig(provider=provider.value, threads=threads)
    quality = measure_bundle(bundle, images, session)
    if print_json:
        typer.echo(json.dumps(quality))
        return
    table = Table("class", "value", title=bundle.name)
    for name, value in quality.items():
        if isinstance(value, dict):
            for label, figure in value.items():
                table.add_row(f"{name}  {label}", "-" if figure is None else f"{figure:.3f}")
        else:
            table.add_row(name, str(value))
    Console().print(table)
