"""``cnn-perception explain --method pca`` and ``tsne``: many pictures as points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from cnn_perception.cli.annotate import each_source, write_answers
from cnn_perception.cli.inputs import Source
from cnn_perception.errors import ConfigError
from cnn_perception.explain.methods.embedding import layer_features
from cnn_perception.explain.methods.layers import last_map_layer
from cnn_perception.explain.methods.network import OpenNetwork
from cnn_perception.explain.methods.scatter import draw_scatter, thumbnail
from cnn_perception.explain.methods.targets import best_class, class_target
from cnn_perception.explain.registry import Method, Shows
from cnn_perception.image.codec import encode_png
from cnn_perception.types import Float32Array, UInt8Array

__all__ = ["embed"]


def embed(
    paths: Sequence[Path],
    out: Path,
    methods: Sequence[Method],
    opened: OpenNetwork,
    layers: Sequence[str],
    *,
    print_json: bool,
) -> bool:
    """Show pictures as points, by their features in a layer; returns whether all could be read.

    Writes ``<method>.png`` and ``points.json`` into `out`. layers: one dotted name, or none for
    the last feature maps. The class of a picture is its folder's name, where there are several.
    Raises ConfigError for other methods beside pca and tsne, and for too few pictures.
    """
    others = [method.value for method in methods if method.shows is not Shows.POINTS]
    if others or len(layers) > 1:
        what = f"method = {others[0]}" if others else f"layer = {layers[1]}"
        raise ConfigError(f"{what}: pca and tsne are of one layer and go with no other method")
    console = Console(stderr=print_json)
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

    records, failed = each_source(paths, "features", work, console)
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
    write_answers(out, "points", {**answers, "pictures": records}, print_json=print_json)
    summary = f"{len(read)} of {len(records)} pictures placed, results in {out}"
    console.print(summary, markup=False, highlight=False, soft_wrap=True)
    return failed == 0
