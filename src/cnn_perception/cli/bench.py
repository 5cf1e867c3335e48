"""``cnn-perception bench``: how fast the package is on this machine, against others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnn_perception.cli import bench_explain, bench_live, bench_models, bench_replay
from cnn_perception.cli.bench_output import AsJson, JsonFile, progress_bar, say, spread_cells, tell
from cnn_perception.cli.options import option
from cnn_perception.config import MapperConfig

__all__ = ["app"]

app = typer.Typer(
    help="Measure this machine; results are proven equal first.", no_args_is_help=True
)
app.command("models")(bench_models.command)
app.command("explain")(bench_explain.command)
app.command("replay")(bench_replay.command)
app.command("live")(bench_live.command)


@app.callback()
def _group() -> None:
    """Measure this machine; results are proven equal first."""


@app.command("mapping")
def mapping_command(
    data: Annotated[
        Path | None, typer.Option(help="Bag or RGB-D folder; the shipped drive by default.")
    ] = None,
    resolution: list[float] = option(MapperConfig, "resolution", repeatable=True),
    max_range: float = option(MapperConfig, "max_range"),
    frames: Annotated[
        int, typer.Option(min=0, help="Frames, spread evenly over the data; 0: all.")
    ] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="How often each frame is timed.")] = 3,
    as_json: AsJson = False,
    out: JsonFile = None,
) -> None:
    """Compare the mapping engines with OctoMap, frame by frame, on one core.

    Everybody maps the same frames; the maps are compared after each of them, every cell and every
    bit, before anything is timed.

    Exit code 1 when maps differ.
    """
    from cnn_perception.offboard.benchmarks.machine import describe_machine, use_one_core

    core = use_one_core()

    from cnn_perception.resources import demo_drive

    source = data if data is not None else demo_drive()
    settings = {
        "data": source.name,
        "max_range": max_range,
        "frames": frames,
        "rounds": rounds,
        "core": core,
    }
    results, lacking = _measure(source, resolution, settings)
    answer = {
        "benchmark": "mapping",
        "machine": describe_machine(),
        "settings": settings,
        "equal": all(result["equal"] for result in results),
        "results": results,
    }
    tell(answer, out, as_json, lambda: _print(answer, lacking))
    if not answer["equal"]:
        raise typer.Exit(1)


def _measure(
    source: Path, resolutions: list[float], settings: dict[str, Any]
) -> tuple[list[dict[str, Any]], str]:
    """Return a summary for each resolution and mode; settings get the real number of frames."""
    from cnn_perception.offboard.benchmarks.frames import read_frames
    from cnn_perception.offboard.benchmarks.mapping import MODES, measure

    configs = [
        MapperConfig(resolution=resolution, max_range=settings["max_range"])
        for resolution in resolutions
    ]
    found = read_frames(source, settings["frames"])
    settings["frames"] = len(found)
    settings["points"] = sum(len(frame.points) for frame in found)
    results, lacking = [], ""
    with progress_bar() as progress:
        for config in configs:
            for mode in MODES:
                label = f"{config.resolution:g} m {mode}:"

                def named(text: str, done: int, total: int, label: str = label) -> None:
                    progress(f"{label} {text}", done, total)

                result, lacking = measure(found, config, mode, settings["rounds"], named)
                results.append(result)
    return results, lacking


def _print(answer: dict[str, Any], lacking: str) -> None:
    from rich import print as show

    from cnn_perception.cli.terminal import figures_table
    from cnn_perception.offboard.benchmarks.machine import machine_line

    settings = answer["settings"]
    heads = ("ms", "min", "IQR", "first", "faster", "B/cell", "differ")
    for result in answer["results"]:
        known = f"{result['known_cells']} known cells"
        title = f"{result['resolution']:g} m {result['mode']}: {known}"
        table = figures_table(title, "", heads)
        for name, row in result["contenders"].items():
            times = row.get("cpu_ms")
            table.add_row(
                name,
                *spread_cells(times),
                f"{row['first_frame_ms']:.2f}",
                f"{row['times_faster']:.1f} x" if times else "-",
                f"{row['memory_bytes_per_cell']:.1f}",
                str(row["different_cells"]),
            )
        show(table)
    say(
        f"{settings['frames']} frames of {settings['data']}, "
        f"{settings['points'] / settings['frames']:.0f} points each, {settings['rounds']} rounds",
        machine_line(answer["machine"], settings["core"]),
        "ms: processor time per frame, median; first: the first frame after warming up, by the "
        "clock; faster: than octomap-python, median of the frames' ratios; B/cell: bytes of the "
        "map for each known cell; differ: cells that octomap-python has otherwise.",
    )
    if lacking:
        say(f"Without OctoMap C++: {lacking}.")
    if not answer["equal"]:
        say("the maps differ: not timed", style="bold red")
