"""``cnn-perception bench``: how fast the package is on this machine, against others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from cnn_perception.cli import bench_explain, bench_live, bench_models, bench_replay
from cnn_perception.cli.bench_output import AsJson, JsonFile, tell
from cnn_perception.cli.options import option
from cnn_perception.config import MapperConfig

if TYPE_CHECKING:
    from rich.console import Console

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
        Optional[Path],  # noqa: UP045
        typer.Option(help="Bag or RGB-D folder; the shipped drive by default."),
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
    from cnn_perception.benchmarks.machine import describe_machine, use_one_core

    core = use_one_core()

    from rich.console import Console

    from cnn_perception.resources import demo_drive

    console = Console(stderr=as_json)
    source = data if data is not None else demo_drive()
    settings = {
        "data": source.name,
        "max_range": max_range,
        "frames": frames,
        "rounds": rounds,
        "core": core,
    }
    results, lacking = _measure(source, resolution, settings, Console(stderr=True))
    answer = {
        "benchmark": "mapping",
        "machine": describe_machine(),
        "settings": settings,
        "equal": all(result["equal"] for result in results),
        "results": results,
    }
    tell(answer, out, as_json, lambda: _print(console, answer, lacking))
    if not answer["equal"]:
        raise typer.Exit(1)


def _measure(
    source: Path, resolutions: list[float], settings: dict[str, Any], console: Console
) -> tuple[list[dict[str, Any]], str]:
    """Return a summary for each resolution and mode; settings get the real number of frames."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from cnn_perception.benchmarks.frames import read_frames
    from cnn_perception.benchmarks.mapping import MODES, measure

    configs = [
        MapperConfig(resolution=resolution, max_range=settings["max_range"])
        for resolution in resolutions
    ]
    found = read_frames(source, settings["frames"])
    settings["frames"] = len(found)
    settings["points"] = sum(len(frame.points) for frame in found)
    results, lacking = [], ""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        for config in configs:
            for mode in MODES:
                task = bar.add_task("")
                label = f"{config.resolution:g} m {mode}:"

                def progress(
                    text: str, done: int, total: int, task: Any = task, label: str = label
                ) -> None:
                    bar.update(task, description=f"{label} {text}", completed=done, total=total)

                result, lacking = measure(found, config, mode, settings["rounds"], progress)
                bar.update(task, description=f"{label} done", completed=1, total=1)
                results.append(result.summary())
    return results, lacking


def _print(console: Console, answer: dict[str, Any], lacking: str) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from cnn_perception.benchmarks.machine import machine_line

    settings = answer["settings"]
    lines = [
        f"{settings['frames']} frames of {settings['data']}, "
        f"{settings['points'] / settings['frames']:.0f} points each, {settings['rounds']} rounds",
        machine_line(answer["machine"], settings["core"]),
    ]
    for result in answer["results"]:
        table = Table(
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            title=f"{result['resolution']:g} m {result['mode']}: "
            f"{result['known_cells']} known cells",
            title_justify="left",
            title_style="bold",
        )
        table.add_column("", no_wrap=True)
        for title in ("ms", "min", "IQR", "first", "faster", "B/cell", "differ"):
            table.add_column(title, justify="right", no_wrap=True)
        for name, row in result["contenders"].items():
            times = row.get("cpu_ms")
            table.add_row(
                name,
                *(f"{times[key]:.2f}" for key in ("median", "min", "interquartile_range"))
                if times
                else ("-",) * 3,
                f"{row['first_frame_ms']:.2f}",
                f"{row['times_faster']:.1f} x" if times else "-",
                f"{row['memory_bytes_per_cell']:.1f}",
                str(row["different_cells"]),
            )
        console.print(table)
    lines.append(
        "ms: processor time per frame, median; first: the first frame after warming up, by the "
        "clock; faster: than octomap-python, median of the frames' ratios; B/cell: bytes of the "
        "map for each known cell; differ: cells that octomap-python has otherwise."
    )
    if lacking:
        lines.append(f"Without OctoMap C++: {lacking}.")
    for line in lines:
        console.print(line, markup=False, highlight=False)
    if not answer["equal"]:
        console.print("the maps differ: not timed", style="bold red")
