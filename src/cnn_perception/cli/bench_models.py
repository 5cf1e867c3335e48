"""``cnn-perception bench models``: how fast networks are here, and what is around them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnn_perception.cli.bench_output import AsJson, JsonFile, progress_bar, say, tell

if TYPE_CHECKING:
    from cnn_perception.types import UInt8Array

__all__ = ["command"]

_SHIPPED = ("rooms_ssdlite", "rooms_fcn")


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODELS]...",
            help="Bundles: names, folders, model.yaml files.  [default: rooms_ssdlite rooms_fcn]",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Pictures, a file or a folder; the shipped drive's by default."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Where the bundles come from: compares with PyTorch too.")
    ] = None,
    pictures: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How often each picture is timed.")] = 40,
    candidates: Annotated[
        int, typer.Option(min=1, help="Boxes that are decoded and suppressed.")
    ] = 300,
    as_json: AsJson = False,
    out: JsonFile = None,
) -> None:
    """Time networks, and what comes before and after them, on one core.

    A network runs in ONNX Runtime, OpenCV and, from its checkpoint, PyTorch. Their answers are
    compared first; who differs is named and not timed.
    """
    from cnn_perception.offboard.benchmarks.machine import describe_machine, use_one_core

    core = use_one_core()

    from cnn_perception.offboard.benchmarks.models import measure
    from cnn_perception.runtime.bundle import load_bundle

    bundles = [load_bundle(model) for model in models or _SHIPPED]
    shown = _pictures(data, pictures)
    eager = {}
    if checkpoint is not None:
        from cnn_perception.offboard.training.checkpoint import load_checkpoint
        from cnn_perception.offboard.training.eager import eager_network

        loaded = load_checkpoint(checkpoint)
        eager = {bundle.name: eager_network(loaded, bundle) for bundle in bundles}
    with progress_bar() as progress:
        results = measure(
            bundles,
            shown,
            rounds=rounds,
            candidates=candidates,
            eager=eager,
            progress=lambda done, total: progress("timing", done + 1, total + 1),
        )
    answer = {
        "benchmark": "models",
        "machine": describe_machine(),
        "settings": {"pictures": len(shown), "rounds": rounds, "core": core},
        "results": [result.summary() for result in results],
    }
    tell(answer, out, as_json, lambda: _print(answer))


def _pictures(data: Path | None, count: int) -> list[UInt8Array]:
    from cnn_perception.cli.inputs import find_sources
    from cnn_perception.errors import ConfigError
    from cnn_perception.offboard.benchmarks.models import read_pictures
    from cnn_perception.resources import demo_drive

    if data is None:
        return read_pictures(demo_drive(), count)
    sources = [source for source in find_sources([data]) if not source.is_video]
    if not sources:
        raise ConfigError(f"no pictures in {data}: give another --data")
    return [source.picture() for source in sources[:count]]


def _print(answer: dict[str, Any]) -> None:
    from rich import print as show

    from cnn_perception.cli.terminal import figures_table
    from cnn_perception.offboard.benchmarks.machine import machine_line

    settings = answer["settings"]
    say(
        f"{settings['pictures']} pictures, {settings['rounds']} rounds; "
        f"{machine_line(answer['machine'], settings['core'])}"
    )
    heads = ("p50", "p95", "min")
    for result in answer["results"]:
        title = (
            f"{result['bundle']}: {result['task']}, {result['input']}, {result['megabytes']:.2f} MB"
        )
        table = figures_table(title, "ms of processor time", heads)
        for stage, times in result["milliseconds"].items():
            name = stage
            if stage == "candidates":
                name = f"decode and suppress {result['candidates']} candidates"
            table.add_row(name, *(f"{times[key]:.3f}" for key in heads))
        show(table)
        say(*(f"{name} is not timed: {reason}" for name, reason in result["refused"].items()))
