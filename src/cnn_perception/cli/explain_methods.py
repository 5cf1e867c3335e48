"""``cnn-perception explain --method``: looks into networks with PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from cnn_perception.cli.annotate import (
    Annotation,
    Annotator,
    annotate,
    each_source,
    write_answers,
)
from cnn_perception.cli.inputs import Source
from cnn_perception.cli.terminal import counting_bar, print_lines
from cnn_perception.errors import ConfigError
from cnn_perception.explain.registry import Method, Shows
from cnn_perception.image.codec import encode_jpeg, encode_png
from cnn_perception.image.key import draw_key
from cnn_perception.offboard.explain_methods.comparison import Tile, draw_comparison
from cnn_perception.offboard.explain_methods.embedding import layer_features
from cnn_perception.offboard.explain_methods.image_optimisation import (
    ImageOptimisationConfig,
    Progress,
    noise,
)
from cnn_perception.offboard.explain_methods.layers import find_layers, last_map_layer
from cnn_perception.offboard.explain_methods.maximisation import (
    MAXIMISATION,
    activation,
    channel_target,
    maximise,
)
from cnn_perception.offboard.explain_methods.network import OpenNetwork
from cnn_perception.offboard.explain_methods.scatter import draw_scatter, thumbnail
from cnn_perception.offboard.explain_methods.shown import GRADIENT, Look, look, show
from cnn_perception.offboard.explain_methods.targets import best_class, class_target
from cnn_perception.types import Float32Array, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Request", "comparing", "look_into"]

_MAPS = 36
"""As many maps of activations as a tile shows well."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be explained, and how.

    paths: pictures, videos and folders, into `out`. layers: dotted or published names, none for the
    last feature maps. target: name or number of a class, empty for the best one; of maximisation
    also of a channel. alpha: opacity of heat. steps, seed: of maximisation.
    """

    paths: Sequence[Path]
    out: Path
    opened: OpenNetwork
    methods: Sequence[Method]
    layers: Sequence[str] = ()
    target: str = ""
    alpha: float = 0.5
    steps: int = MAXIMISATION.steps
    seed: int = 0
    print_json: bool = False


def look_into(request: Request) -> bool:
    """Explain pictures one by one or, by pca and tsne, together; returns whether all were read.

    By maximisation, and without pictures, seeks an image or shows filters. Raises ConfigError for
    what does not go together.
    """
    opened, methods = request.opened, request.methods
    layers = find_layers(opened.network, request.layers)
    if Method.maximisation in methods or not request.paths:
        return _search(request, layers)
    methods = list(dict.fromkeys(Method.of_one_picture() if Method.all in methods else methods))
    if any(method.shows is Shows.POINTS for method in methods):
        return _embed(request, layers)
    if layers and not any(method.of_layer for method in methods):
        raise ConfigError(
            f"layer = {layers[0]!r}: {methods[0].value} is of the whole network: leave --layer out"
        )
    request = replace(request, methods=methods, layers=layers)
    annotator = (comparing if len(methods) > 1 or len(layers) > 1 else _explaining)(request)
    return annotate(
        request.paths, request.out, "explanations", annotator, print_json=request.print_json
    )


def _explaining(request: Request) -> Annotator:
    """Return what draws one explanation of a picture."""
    opened, (method,), layer = request.opened, request.methods, "".join(request.layers)
    wanted = opened.class_id(request.target)

    def annotator(rgb: UInt8Array) -> Annotation:
        seen = look(opened, rgb, wanted)
        shown = show(method, opened, seen, layer, request.alpha)
        how = f"{method.value} {shown.layer}".strip()
        record = {"method": method.value, "layer": shown.layer or None}
        if method.shows is Shows.SHEET:
            caption = f"{opened.name}, {how}"
            overlay = draw_key(rgb, caption)
        else:
            caption = f"{seen.label} {seen.score:.2f}, {how}"
            overlay = draw_key(shown.picture, caption, shown.key)
            record |= _answer(seen)
        return Annotation(overlay, {"explanation": record}, caption, shown.maps)

    return annotator


def comparing(request: Request) -> Annotator:
    """Return what draws one tile per method, for those of a layer one per layer.

    A method that cannot be had for the network becomes a tile that says why.
    """
    opened, wanted = request.opened, request.opened.class_id(request.target)
    each = [
        (method, layer)
        for method in request.methods
        for layer in (request.layers or [""] if method.of_layer else [""])
    ]

    def annotator(rgb: UInt8Array) -> Annotation:
        seen = look(opened, rgb, wanted)
        answered = f"{seen.label} {seen.score:.2f}"
        tiles = [Tile(opened.name, answered, rgb)]
        records = []
        for method, layer in each:
            record: dict[str, Any] = {"method": method.value, "layer": layer or None}
            try:
                shown = show(method, opened, seen, layer, request.alpha, _MAPS)
            except ConfigError as error:
                tiles.append(Tile(method.value, layer, str(error)))
                record["error"] = str(error)
            else:
                words = shown.layer if method.shows is Shows.SHEET else f"{answered}, {shown.layer}"
                picture, key = shown.picture, shown.key
                if "gradient" in shown.maps:  # in their colors, as gradients are mostly printed
                    picture, key = shown.maps["gradient"], GRADIENT
                tiles.append(Tile(method.value, words.removesuffix(", "), picture, key))
                record["layer"] = shown.layer or None
            records.append(record)
        words = f"{answered}, {len(each)} explanations"
        record = {**_answer(seen), "explanations": records}
        return Annotation(draw_comparison(tiles, rgb.shape[:2]), record, words)

    return annotator


def _answer(seen: Look) -> dict[str, Any]:
    """Return what is explained, for the JSON file."""
    return {"label": seen.label, "class_id": seen.class_id, "score": round(seen.score, 4)}


def _embed(request: Request, layers: Sequence[str]) -> bool:
    """Show pictures as points, by their features in a layer; returns whether all could be read.

    Writes ``<method>.png`` and ``points.json`` into `out`. layers: one dotted name, or none for
    the last feature maps. The class of a picture is its folder's name, where there are several.
    Raises ConfigError for other methods beside pca and tsne, and for too few pictures.
    """
    opened, methods, out = request.opened, list(dict.fromkeys(request.methods)), request.out
    others = [method.value for method in methods if method.shows is not Shows.POINTS]
    if others or len(layers) > 1:
        what = f"method = {others[0]}" if others else f"layer = {layers[1]}"
        raise ConfigError(f"{what}: pca and tsne are of one layer and go with no other method")
    console = Console(stderr=request.print_json)
    features: list[Float32Array] = []
    thumbnails: list[UInt8Array] = []
    folders: list[str] = []
    used = list(layers)

    def work(source: Source) -> tuple[dict[str, Any], str]:
        if source.is_video:
            raise ConfigError("a video is no picture: give its frames as files")
        rgb = source.picture()
        images, _ = opened.prepare(rgb)
        if not used:
            class_id, _ = best_class(opened.answer(images))
            used.append(last_map_layer(opened.network, images, class_target(class_id)))
        features.append(layer_features(opened.network, used[0], images))
        thumbnails.append(thumbnail(rgb))
        folders.append(source.file.resolve().parent.name)
        return {"file": str(source.file)}, f"{len(features[-1])} features"

    records, failed = each_source(request.paths, "features", work, console)
    if not features:
        raise ConfigError("none of the pictures could be read: see the lines above")
    classes = folders if len(set(folders)) > 1 else []
    read = [record for record in records if "error" not in record]
    for record, folder in zip(read, classes, strict=False):
        record["class"] = folder
    answers: dict[str, Any] = {"network": opened.name, "layer": used[0]}
    answers["features"] = len(features[0])
    out.mkdir(parents=True, exist_ok=True)
    for method in methods:
        points, answers[method.value], axes = method.run(features=np.stack(features))
        for record, place in zip(read, points.tolist(), strict=True):
            record[method.value] = place
        title = f"{len(points)} pictures by {method.value}, {opened.name} {used[0]}"
        sheet = draw_scatter(points, thumbnails, classes, title, axes)
        (out / f"{method.value}.png").write_bytes(encode_png(sheet))
    write_answers(out, "points", {**answers, "pictures": records}, print_json=request.print_json)
    print_lines(console, f"{len(read)} of {len(records)} pictures placed, results in {out}")
    return failed == 0


def _search(request: Request, layers: Sequence[str]) -> bool:
    """Seek an image for a target, from noise or each picture; or show filters without a picture.

    layers: one, whose channel has the number `target`, or none, for a class. Returns whether all
    pictures could be read. Raises ConfigError for what does not go together.
    """
    opened, methods, out = request.opened, request.methods, request.out
    if len(methods) > 1 or len(layers) > 1:
        what = f"method = {methods[1].value}" if len(methods) > 1 else f"layer = {layers[1]}"
        raise ConfigError(f"{what}: {methods[0].value} goes with no other here: leave it out")
    console = Console(stderr=request.print_json)
    if methods[0] is Method.filters:
        made = _filters(opened)
    else:
        config = replace(MAXIMISATION, steps=request.steps, seed=request.seed)
        make = _maximising(opened, layers[0] if layers else "", request.target, config)
        if request.paths:
            return annotate(
                request.paths,
                out,
                "explanations",
                lambda rgb: make(opened.prepare(rgb)[0], lambda step, loss: None),
                print_json=request.print_json,
            )
        with counting_bar(console) as bar:
            task = bar.add_task("maximisation", total=config.steps)
            start = noise((opened.spec.height, opened.spec.width), config.seed)
            made = make(start, lambda step, loss: bar.update(task, completed=step))
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{opened.name}.explanations.jpg").write_bytes(encode_jpeg(made.overlay))
    for key, values in made.maps.items():
        (out / f"{opened.name}.{key}.png").write_bytes(encode_png(values))
    print_lines(console, made.words)
    write_answers(out, "explanations", [made.record], print_json=request.print_json)
    return True


def _filters(opened: OpenNetwork) -> Annotation:
    sheet, key = Method.filters.run(network=opened.network)
    caption = f"{opened.name}, filters"
    record = {"explanation": {"method": Method.filters.value, "layer": None}}
    return Annotation(draw_key(sheet, caption, key), record, caption, {"filters": sheet})


def _maximising(
    opened: OpenNetwork, layer: str, target: str, config: ImageOptimisationConfig
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
