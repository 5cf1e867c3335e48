"""``cnn-perception models export``: from a training checkpoint to bundles that robots run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnn_perception.cli.options import Json

if TYPE_CHECKING:
    from cnn_perception.offboard.datasets.labelled import LabelledImage
    from cnn_perception.offboard.training.checkpoint import Checkpoint

__all__ = ["command"]

_PROOFS = 4
"""Images on which a network is compared with PyTorch."""

_RUNS = 30


def command(
    checkpoint: Annotated[
        Path, typer.Argument(help="best.pt or checkpoint.pt of 'cnn-perception train'.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder of the bundle; task rooms writes two bundles into it."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            "-d",
            help="Pictures for the proof, a file or a folder.  [default: the plan's data, rooms]",
        ),
    ] = None,
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Let the network take any number of images.")
    ] = False,
    opset: Annotated[int, typer.Option(help="Version of ONNX's operators.")] = 20,
    print_json: Json = False,
) -> None:
    """Write a checkpoint's network as a bundle, proven equal to PyTorch on real images.

    Nothing is written, and an older bundle stays, unless the answers agree within 0.001. Batch
    normalisation is folded; the bundle gets a model card.
    """
    import json

    from rich.console import Console
    from rich.table import Table

    from cnn_perception.cli.extras import needs_train_extra

    with needs_train_extra("export"):
        from cnn_perception.offboard.export.onnx_file import OnnxOptions
        from cnn_perception.offboard.training.checkpoint import load_checkpoint
    options = OnnxOptions(opset, dynamic_batch)
    loaded = load_checkpoint(checkpoint)
    images = _proofs(loaded, data)
    differences = loaded.task.export(loaded.network, out, images, options)
    rows = [
        {**_facts(folder), "opset": opset, "dynamic_batch": dynamic_batch, "difference": worst}
        for folder, worst in differences.items()
    ]
    if print_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("bundle", "MB", "opset", "batch", "off PyTorch", "ms, one thread"):
        table.add_column(title, justify="left" if title == "bundle" else "right")
    for row in rows:
        table.add_row(
            row["folder"],
            f"{row['megabytes']:.2f}",
            str(opset),
            "any" if dynamic_batch else "1",
            f"{row['difference']:.1e}",
            f"{row['milliseconds']:.2f}",
        )
    console = Console()
    console.print(table)
    console.print(f"proven on {len(images)} images; step {loaded.step} of the training")


def _proofs(checkpoint: Checkpoint, data: Path | None) -> list[LabelledImage]:
    """Return the images for the proof: those given, or else some of the plan's."""
    from itertools import islice

    import numpy as np

    from cnn_perception.cli.inputs import find_sources
    from cnn_perception.offboard.datasets.labelled import LabelledImage
    from cnn_perception.offboard.datasets.rooms import EVALUATION_SEED, RenderedRooms
    from cnn_perception.offboard.training.data import open_data

    if data is None and checkpoint.plan.task == "rooms":
        return list(RenderedRooms(EVALUATION_SEED, _PROOFS))
    if data is None:
        train, validation = open_data(checkpoint.plan)
        return list(islice(validation or train, _PROOFS))
    pictures = [source for source in find_sources([data]) if not source.is_video]
    return [
        LabelledImage(
            picture,
            np.full(picture.shape[:2], 255, np.uint8),
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.int32),
            np.zeros(0, np.bool_),
        )
        for picture in (source.picture() for source in pictures[:_PROOFS])
    ]


def _facts(folder: Path) -> dict[str, Any]:
    """Return size and speed of a bundle's network."""
    import time

    import numpy as np

    from cnn_perception.runtime.bundle import load_bundle
    from cnn_perception.runtime.inference import Session

    bundle = load_bundle(folder)
    session = Session(bundle)
    spec = bundle.input
    image = np.random.default_rng(0).standard_normal((1, 3, spec.height, spec.width), np.float32)
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        session.run({spec.name: image})
        times.append(time.perf_counter() - start)
    return {
        "folder": str(folder),
        "megabytes": round(bundle.model.stat().st_size / 1e6, 3),
        "milliseconds": round(1000 * float(np.median(times)), 3),
    }
