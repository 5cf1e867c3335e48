"""The work of ``cnn-perception invert``: an image for every setting, and what is written of it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.console import Console

from cnn_perception.cli.annotate import write_answers
from cnn_perception.cli.inputs import Source
from cnn_perception.cli.terminal import counting_bar, print_lines
from cnn_perception.errors import ConfigError
from cnn_perception.image.codec import encode_png
from cnn_perception.offboard.explain_methods.image_optimisation import (
    ImageOptimisationConfig,
    OptimisedImage,
    Progress,
)
from cnn_perception.offboard.explain_methods.inversion import invert
from cnn_perception.offboard.explain_methods.layers import find_layer
from cnn_perception.offboard.explain_methods.network import OpenNetwork
from cnn_perception.offboard.explain_methods.optimisation_charts import draw_losses, draw_table
from cnn_perception.offboard.explain_methods.style import (
    style_layers,
    synthesise_texture,
    transfer_style,
)
from cnn_perception.types import Float64Array, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Order", "carry_out"]

Search = Callable[[Sequence[str], ImageOptimisationConfig, Progress], OptimisedImage]
"""Returns the image that is found for some layers together."""


class Order(NamedTuple):
    """What is sought: features of an image, its texture, or itself in the style of another.

    layers: groups of layers that are taken together, none for the usual ones; each is sought for
    with each of the configurations.
    """

    image: Path
    style: Path | None
    style_weight: float
    texture: bool
    layers: Sequence[Sequence[str]]
    configs: Sequence[ImageOptimisationConfig]

    @property
    def kind(self) -> str:
        """The word for it in names of files."""
        return "texture" if self.texture else "invert" if self.style is None else "style"


class _Run(NamedTuple):
    """What was found for some layers; settings: in words, those that are not the same for all."""

    layers: str
    settings: str
    config: ImageOptimisationConfig
    found: OptimisedImage

    @property
    def title(self) -> str:
        return f"{self.layers} {self.settings}".strip()


def carry_out(order: Order, opened: OpenNetwork, out: Path, *, print_json: bool) -> None:
    """Seek all images; write them, a table of them, the curves of their losses and a record.

    Raises ConfigError for pictures and layers that cannot be used, before anything is sought.
    """
    console = Console(stderr=print_json)
    given = {"image": _read(opened, order.image)}
    if order.style is not None:
        given["style"] = _read(opened, order.style)
    groups = order.layers or _usual_layers(order, style_layers(opened.network, given["image"]))
    for layer in itertools.chain.from_iterable(groups):
        find_layer(opened.network, layer)
    search = _search(order, opened, given["image"], given.get("style"))
    differ = [x for x in ("tv", "rate") if len({getattr(y, x) for y in order.configs}) > 1]
    runs = []
    for group, config in itertools.product(groups, order.configs):
        settings = " ".join(f"{name} {getattr(config, name):g}" for name in differ)
        runs.append(_run(search, group, settings, config, console))
    out.mkdir(parents=True, exist_ok=True)
    stem = f"{order.image.stem}.{order.kind}"
    _write_images(runs, opened, given, out, stem)
    title = f"{opened.name}, {order.kind}: {order.image.name}"
    (out / f"{stem}.losses.png").write_bytes(encode_png(draw_losses(_curves(runs), title)))
    records = [_record(order, opened, run) for run in runs]
    write_answers(out, order.kind, records, print_json=print_json)
    print_lines(console, f"results in {out}")


def _write_images(
    runs: Sequence[_Run], opened: OpenNetwork, given: Mapping[str, Tensor], out: Path, stem: str
) -> None:
    """Write all images, and a table with a row for layers and a column for settings."""
    rows: dict[str, list[UInt8Array]] = {}
    columns = dict.fromkeys(given)
    for run in runs:
        row = rows.setdefault(run.layers, [opened.picture(x) for x in given.values()])
        images = {f"{run.settings} step {k}".strip(): x for k, x in run.found.snapshots.items()}
        images[run.settings or "found"] = run.found.image
        for column, image in images.items():
            columns[column] = None
            row.append(opened.picture(image))
            file = out / f"{stem}.{run.layers}.{column.replace(' ', '-')}.png"
            file.write_bytes(encode_png(row[-1]))
    (out / f"{stem}.table.png").write_bytes(encode_png(draw_table(list(columns), rows)))


def _curves(runs: Sequence[_Run]) -> Mapping[str, Float64Array]:
    """Return the terms of the only run, or of each run how far its image is from what is wanted."""
    if len(runs) == 1:
        return runs[0].found.losses
    wanted = [
        [values for name, values in run.found.losses.items() if name != "total variation"]
        for run in runs
    ]
    return {run.title: np.sum(terms, axis=0) for run, terms in zip(runs, wanted, strict=True)}


def _read(opened: OpenNetwork, file: Path) -> Tensor:
    """Return a picture as the network's input."""
    try:
        return opened.prepare(Source(file, Path(file.stem)).picture())[0]
    except (OSError, ConfigError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{file}: {text}") from error


def _usual_layers(order: Order, found: Sequence[str]) -> list[list[str]]:
    """Choose among the first layers of each resolution, where none are named."""
    if order.texture:
        return [list(found)]
    return [[layer] for layer in (found if order.style is None else found[-2:][:1])]


def _search(order: Order, opened: OpenNetwork, images: Tensor, styles: Tensor | None) -> Search:
    network, limits = opened.network, opened.limits()
    if styles is not None:
        wanted = style_layers(network, styles)
        return lambda layers, config, progress: transfer_style(
            network,
            layers,
            wanted,
            images,
            styles,
            config,
            weight=order.style_weight,
            limits=limits,
            progress=progress,
        )
    find = synthesise_texture if order.texture else invert
    return lambda layers, config, progress: find(
        network, layers, images, config, limits=limits, progress=progress
    )


def _run(
    search: Search,
    group: Sequence[str],
    settings: str,
    config: ImageOptimisationConfig,
    console: Console,
) -> _Run:
    """Seek an image, with a bar on a terminal and a line in the end."""
    layers = "+".join(group)
    start = time.perf_counter()
    with counting_bar(console) as bar:
        task = bar.add_task(f"{layers} {settings}".strip(), total=config.steps)
        found = search(group, config, lambda step, loss: bar.update(task, completed=step))
    each = 1000 * (time.perf_counter() - start) / config.steps
    run = _Run(layers, settings, config, found)
    terms = ", ".join(f"{name} {x[0]:.3g} -> {x[-1]:.3g}" for name, x in found.losses.items())
    print_lines(console, f"{run.title}: {terms} in {config.steps} steps of {each:.0f} ms")
    return run


def _record(order: Order, opened: OpenNetwork, run: _Run) -> dict[str, Any]:
    height, width = run.found.image.shape[2:]
    losses = run.found.losses.items()
    return {
        "file": str(order.image),
        "style": None if order.style is None else str(order.style),
        "kind": order.kind,
        "network": opened.name,
        "layers": run.layers.split("+"),
        "width": width,
        "height": height,
        "steps": run.config.steps,
        "rate": run.config.rate,
        "tv": run.config.tv,
        "seed": run.config.seed,
        "losses": {name: [float(f"{x:.6g}") for x in values] for name, values in losses},
    }
