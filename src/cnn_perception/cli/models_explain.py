"""``cnn-perception models explain``: explain graphs for a bundle, proven on pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cnn_perception.cli.options import Json

__all__ = ["command"]


def command(
    model: Annotated[str, typer.Argument(help="Bundle: a name, a folder or a model.yaml.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write it here instead of into the bundle's own folder."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Feature map to explain from, by its name in the file; of a detector one for each "
            "level.  [default: those it has graphs for, or the last ones]"
        ),
    ] = None,
    picture: Annotated[
        list[Path] | None, typer.Option(help="Prove the graphs on these instead of a room.")
    ] = None,
    print_json: Json = False,
) -> None:
    """Let a bundle explain itself: adds its heads' backward pass, proven equal to PyTorch.

    Grad-CAM and Grad-CAM++ of any class for classifiers, of any class at any box for detectors, of
    a class over a region for masks. Robots run them by ONNX Runtime alone. The network's file is
    all that is needed; to prove the graphs takes PyTorch.
    """
    from rich.console import Console
    from rich.table import Table

    from cnn_perception.cli.extras import needs_train_extra
    from cnn_perception.cli.inputs import find_sources
    from cnn_perception.cli.terminal import print_lines
    from cnn_perception.runtime.bundle import load_bundle

    with needs_train_extra("explain graphs are proven with PyTorch, which"):
        from cnn_perception.offboard.export.bundle import prepared
        from cnn_perception.offboard.export.explain import explain_bundle
    from cnn_perception.offboard.pretrained.pull import check_pictures

    bundle = load_bundle(model)
    folder = out or bundle.file.parent
    pictures = [source.picture() for source in find_sources(picture or [])] or check_pictures()
    proofs = explain_bundle(bundle, folder, prepared(bundle.input, pictures), layer or ())
    if print_json:
        rows = [
            {"level": x.level, "feature_map": x.feature_map, "difference": x.difference}
            for x in proofs
        ]
        typer.echo(json.dumps({"folder": str(folder), "graphs": rows}, indent=1))
        return
    console = Console(soft_wrap=True)
    table = Table("level", "feature map", "off PyTorch by at most", box=None, pad_edge=False)
    for proof in proofs:
        table.add_row(str(proof.level), proof.feature_map, f"{proof.difference:.1e}")
    console.print(table)
    print_lines(
        console,
        f"{bundle.name} explains itself: {folder}",
        f"try: cnn-perception explain --model {folder} PICTURES",
    )
