"""``cnn-perception explain`` where no picture is needed: maximisation, and filters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cnn_perception.cli.annotate import Annotation, annotate, progress_bar, write_answers
from cnn_perception.errors import ConfigError
from cnn_perception.explain.methods.image_optimisation import OptimisationConfig, Progress, noise
from cnn_perception.explain.methods.layers import find_layers
from cnn_perception.explain.methods.maximisation import (
    MAXIMISATION,
    activation,
    channel_target,
    maximise,
)
from cnn_perception.explain.methods.network import OpenNetwork
from cnn_perception.explain.methods.targets import class_target
from cnn_perception.explain.registry import Method
from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.image.key import draw_key

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["search"]


def search(
    paths: Sequence[Path],
    out: Path,
    opened: OpenNetwork,
    methods: Sequence[Method],
    layers: Sequence[str],
    target: str,
    steps: int,
    seed: int,
    *,
    print_json: bool,
) -> bool:
    """Seek an image for a target, from noise or each picture; or show filters without a picture.

    layers: one, whose channel has the number `target`, or none, for a class. Returns whether all
    pictures could be read. Raises ConfigError for what does not go together.
    """
    layers = find_layers(opened.network, layers)
    if len(methods) > 1 or len(layers) > 1:
        what = f"method = {methods[1].value}" if len(methods) > 1 else f"layer = {layers[1]}"
        raise ConfigError(f"{what}: {methods[0].value} goes with no other here: leave it out")
    console = Console(stderr=print_json)
    if methods[0] is Method.filters:
        made = _filters(opened)
    else:
        config = replace(MAXIMISATION, steps=steps, seed=seed)
        make = _maximising(opened, layers[0] if layers else "", target, config)
        if paths:
            return annotate(
                paths,
                out,
                "explanations",
                lambda rgb: make(opened.prepare(rgb)[0], lambda step, loss: None),
                print_json=print_json,
            )
        with progress_bar(console) as bar:
            task = bar.add_task("maximisation", total=steps)
            start = noise((opened.spec.height, opened.spec.width), seed)
            made = make(start, lambda step, loss: bar.update(task, completed=step))
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{opened.name}.explanations.jpg").write_bytes(encode_jpeg(made.overlay))
    for key, values in made.maps.items():
        (out / f"{opened.name}.{key}.png").write_bytes(encode_png(values))
    console.print(made.words, markup=False, highlight=False, soft_wrap=True)
    write_answers(out, "explanations", [made.record], print_json=print_json)
    return True


def _filters(opened: OpenNetwork) -> Annotation:
    sheet, key = Method.filters.run(network=opened.network)
    caption = f"{opened.name}, filters"
    record = {"explanation": {"method": Method.filters.value, "layer": None}}
    return Annotation(draw_key(sheet, caption, key), record, caption, {"filters": sheet})


def _maximising(
    opened: OpenNetwork, layer: str, target: str, config: OptimisationConfig
) -> Callable[[Tensor, Progress], Annotation]:
    """Return what seeks an image from another."""
    wanted = (int(target) if target.isdecimal() else None) if layer else opened.class_id(target)
    if wanted is None:
        raise ConfigError(
            f"target = {target!r}: maximisation needs a class, or with --layer a channel's number"
        )
    network = opened.network
    goal = channel_target(wanted) if layer else class_target(wanted, everywhere=True)
    name = f"channel {wanted} of {layer}" if layer else opened.label(wanted)

    def make(start: Tensor, progress: Progress) -> Annotation:
        found = maximise(
            network, goal, start, config, layer=layer, limits=opened.limits(), progress=progress
        )
        before, after = (activation(network, goal, x, layer) for x in (start, found.image))
        picture = opened.picture(found.image)
        caption = f"{name}: {before:.3g} -> {after:.3g}"
        record = {
            "method": Method.maximisation.value,
            "layer": layer or None,
            "channel" if layer else "class_id": wanted,
            "steps": config.steps,
            "seed": config.seed,
            "before": float(f"{before:.6g}"),
            "after": float(f"{after:.6g}"),
        }
        maps = {"maximisation": picture}
        return Annotation(draw_key(picture, caption), {"explanation": record}, caption, maps)

    return make
