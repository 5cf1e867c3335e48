"""``cnn-perception bench replay``: what replaying costs beside the objects' own work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnn_perception.cli.bench_output import AsJson, JsonFile, progress_bar, say, tell

__all__ = ["command"]


def command(
    bag: Annotated[
        Path | None,
        typer.Option(help="A bag with an RGB-D camera and /tf; the shipped drive by default."),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is timed.")] = 5,
    as_json: AsJson = False,
    out: JsonFile = None,
) -> None:
    """Compare a replay with a bare loop over the same bag and objects, in turns, on one core.

    Scores, masks and maps are proven equal before anything is timed. Exit code 1 when they differ.
    """
    from cnn_perception.offboard.benchmarks.machine import describe_machine, use_one_core

    core = use_one_core()

    import tempfile

    from cnn_perception.offboard.benchmarks.race import race
    from cnn_perception.offboard.benchmarks.replay import JOBS, replay_job
    from cnn_perception.recording.bag import BagReader
    from cnn_perception.resources import demo_drive

    source = bag if bag is not None else demo_drive()
    with BagReader(source) as reader:
        seconds = reader.duration_ns / 1e9
    with tempfile.TemporaryDirectory() as folder, progress_bar() as progress:
        jobs = [replay_job(source, nodes, Path(folder)) for nodes in JOBS]
        results = race(jobs, rounds, progress)
    answer = {
        "benchmark": "replay",
        "machine": describe_machine(),
        "settings": {"bag": source.name, "seconds": seconds, "rounds": rounds, "core": core},
        "equal": not any(job.refused for job in jobs),
        "results": [result.summary() for result in results],
    }
    tell(answer, out, as_json, lambda: _print(answer))
    if not answer["equal"]:
        raise typer.Exit(1)


def _print(answer: dict[str, Any]) -> None:
    from rich import print as show

    from cnn_perception.cli.terminal import figures_table
    from cnn_perception.offboard.benchmarks.machine import machine_line

    settings = answer["settings"]
    for result in answer["results"]:
        table = figures_table(result["job"], "", ("cpu s", "min", "x real time", "overhead"))
        for name, row in result["contenders"].items():
            if "cpu_ms" not in row:
                table.add_row(name, result["refused"][name], "", "", "")
                continue
            took = row["cpu_ms"]["median"] / 1e3
            table.add_row(
                name,
                f"{took:.3f}",
                f"{row['cpu_ms']['min'] / 1e3:.3f}",
                f"{settings['seconds'] / took:.1f}",
                f"{100 * (1 / row['times_faster'] - 1):+.1f} %",
            )
        show(table)
    say(
        f"{settings['seconds']:.1f} s of {settings['bag']}, {settings['rounds']} rounds; "
        "processor time; overhead: over the bare loop, which loads the networks, reads the bag, "
        "decodes and calls the objects; the replay writes the results too",
        machine_line(answer["machine"], settings["core"]),
    )
