"""``cnn-perception bench explain``: what an explanation costs here, against others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnn_perception.cli.bench_output import AsJson, JsonFile, progress_bar, say, spread_cells, tell

if TYPE_CHECKING:
    from cnn_perception.offboard.benchmarks.race import Job
    from cnn_perception.types import UInt8Array

__all__ = ["command"]


def command(
    network: Annotated[
        list[str] | None,
        typer.Option(
            help="Classifier, by torchvision's name; repeatable.  [default: mobilenet_v2]"
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Detector with explain graphs: a bundle's name or folder.")
    ] = "rooms_ssdlite",
    picture: Annotated[
        Path | None, typer.Option(help="What is looked at; the shipped room by default.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each contender is timed.")] = 30,
    as_json: AsJson = False,
    out: JsonFile = None,
) -> None:
    """Time explanations against pytorch-grad-cam and Captum, on one core and one thread.

    Everybody explains the same answers; the maps are compared before anything is timed, and who
    disagrees is named instead. Classifiers have random weights. Without PyTorch, only what runs on
    a robot is timed.

    Exit code 1 when somebody disagrees.
    """
    from cnn_perception.offboard.benchmarks.machine import describe_machine, use_one_core

    core = use_one_core()

    from cnn_perception.offboard.benchmarks.race import race

    lacking = _lacking()
    networks = network or ["mobilenet_v2"]
    settings = {
        "networks": networks,
        "model": model,
        "picture": picture.name if picture is not None else "room.jpg",
        "rounds": rounds,
        "threads": 1,
        "core": core,
    }
    jobs = _jobs(networks, model, _picture(picture), lacking)
    with progress_bar() as progress:
        results = race(jobs, rounds, progress)
    answer = {
        "benchmark": "explain",
        "machine": describe_machine(),
        "settings": settings,
        "agree": not any(job.refused for job in jobs),
        "lacking": lacking,
        "results": [result.summary() for result in results],
    }
    tell(answer, out, as_json, lambda: _print(answer))
    if not answer["agree"]:
        raise typer.Exit(1)


def _lacking() -> list[str]:
    """Return the packages that others' explanations need and that are not installed."""
    from importlib.util import find_spec

    packages = {
        "torch": "torch",
        "torchvision": "torchvision",
        "onnxscript": "onnxscript",
        "pytorch_grad_cam": "grad-cam",
        "captum": "captum",
    }
    return [name for module, name in packages.items() if find_spec(module) is None]


def _picture(file: Path | None) -> UInt8Array:
    from cnn_perception.cli.inputs import Source
    from cnn_perception.resources import share_directory

    file = file or share_directory() / "models" / "room.jpg"
    return Source(file, Path(file.name)).picture()


def _jobs(networks: list[str], model: str, rgb: UInt8Array, lacking: list[str]) -> list[Job]:
    from cnn_perception.explain.explainer import Explainer
    from cnn_perception.offboard.benchmarks.explain import detection_jobs, overlay_job
    from cnn_perception.runtime.bundle import load_bundle

    bundle = load_bundle(model)
    heat = Explainer(bundle).explain(rgb).heatmap
    if set(lacking) - {"grad-cam", "captum"}:
        return [*detection_jobs(bundle, rgb), overlay_job(rgb, heat)]

    from cnn_perception.offboard.benchmarks.explain_torch import (
        GradCamTwin,
        classifier_jobs,
        overlays,
    )
    from cnn_perception.offboard.explain_methods.network import open_network

    alone = "grad-cam" in lacking
    detection = [
        *detection_jobs(bundle, rgb, None if alone else GradCamTwin(bundle)),
        overlay_job(rgb, heat, () if alone else overlays(rgb, heat)),
    ]
    classification = [job for name in networks for job in classifier_jobs(open_network(name), rgb)]
    return [*classification, *detection]


def _print(answer: dict[str, Any]) -> None:
    from rich import print as show

    from cnn_perception.cli.terminal import figures_table
    from cnn_perception.offboard.benchmarks.machine import machine_line

    settings = answer["settings"]
    say(
        f"{settings['picture']}, {settings['rounds']} rounds, one thread; "
        f"{machine_line(answer['machine'], settings['core'])}"
    )
    heads = ("median", "min", "IQR", "faster", "differs")
    for result in answer["results"]:
        table = figures_table(result["job"], "ms of processor time", heads)
        for name, row in result["contenders"].items():
            ratio, difference = row.get("times_faster"), row["difference"]
            table.add_row(
                name,
                *spread_cells(row.get("cpu_ms")),
                "-" if ratio is None else f"{ratio:.1f} x",
                "" if difference is None else f"{difference:.1e}",
            )
        show(table)
        say(result["says"])
        if "gap" in result:
            say(f"{result['gap']['name']}: {result['gap']['ms']:.2f} ms")
        say(*(f"{name} is not timed: {reason}" for name, reason in result["refused"].items()))
    say("faster: than the first row, median of the rounds' ratios; differs: of maps in [0, 1].")
    if answer["lacking"]:
        say(
            f"Without {', '.join(answer['lacking'])}: install cnn_perception with the extras "
            "[train,oracle] for all contenders."
        )
