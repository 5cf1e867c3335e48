"""``cnn-perception bench live``: what the live nodes cost beside their components."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnn_perception.cli.bench_output import AsJson, JsonFile, tell

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["command"]


class Layout(str, Enum):
    """How the nodes are spread over processes."""

    one = "one"
    four = "four"
    both = "both"


def command(
    bag: Annotated[
        Path | None,
        typer.Option(help="A bag with an RGB-D camera and /tf; the shipped drive by default."),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(help="The four nodes in one process, in four, or one after the other.")
    ] = Layout.both,
    loops: Annotated[
        int, typer.Option(min=1, help="How often the bag is played, after once to warm up.")
    ] = 1,
    idle: Annotated[
        float, typer.Option(min=0.1, help="Seconds of each measurement of idle nodes.")
    ] = 3.0,
    clock: Annotated[
        bool, typer.Option(help="Publish /clock, 100 Hz, and let the nodes take it for the time.")
    ] = True,
    vga: Annotated[
        bool, typer.Option(help="Play the bag as a VGA camera at 30 Hz would see it, too.")
    ] = True,
    as_json: AsJson = False,
    out: JsonFile = None,
) -> None:
    """Compare the live nodes with a bare loop over their components, in one run.

    A bag is played to the nodes over ROS 2, and another process reads every result. The results are
    proven equal to the loop's. Exit code 1 when they differ.
    """
    import logging
    import signal
    import tempfile

    from rich.console import Console

    from cnn_perception.cli.terminal import progress_bar
    from cnn_perception.demo.demonstration import default_domain
    from cnn_perception.offboard.benchmarks.live import LAYOUTS, LiveOptions, measure
    from cnn_perception.offboard.benchmarks.machine import describe_machine
    from cnn_perception.offboard.benchmarks.vga_drive import write_vga_drive
    from cnn_perception.resources import demo_drive

    logging.getLogger("cnn_perception").setLevel(logging.ERROR)  # time goes back in each loop
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    source = bag if bag is not None else demo_drive()
    layouts = list(LAYOUTS) if layout is Layout.both else [layout.value]
    options = LiveOptions(loops, idle, 100.0 if clock else None, default_domain())
    machine, results = describe_machine(), []
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder, progress_bar(console) as bar:
        drives = {source.name: source}
        if vga:
            drives["VGA 30 Hz"] = Path(folder) / "vga"
            write_vga_drive(source, drives["VGA 30 Hz"])
        for index, (name, drive) in enumerate(drives.items()):
            task = bar.add_task("")

            def progress(
                text: str, done: int, total: int, name: str = name, task: Any = task
            ) -> None:
                bar.update(task, description=f"{name}, {text}", completed=done, total=total)

            work = Path(folder) / str(index)
            results.append({"drive": name, **measure(drive, layouts, options, work, progress)})
    answer = {
        "benchmark": "live",
        "machine": machine,
        "settings": {"bag": source.name, "loops": loops, "idle_s": idle, "clock": clock},
        "equal": not any(run["different"] for result in results for run in result["layouts"]),
        "results": results,
    }
    tell(answer, out, as_json, lambda: _print(Console(), answer))
    if not answer["equal"]:
        raise typer.Exit(1)


def _print(console: Console, answer: dict[str, Any]) -> None:
    from cnn_perception.cli.terminal import print_lines
    from cnn_perception.offboard.benchmarks.machine import machine_line

    for result in answer["results"]:
        console.print(_costs(result))
        console.print(_latencies(result))
        for run in result["layouts"]:
            for topic, count in run["different"].items():
                console.print(
                    f"{run['layout']}: {count} of {run['compared'][topic]} messages on {topic} "
                    "differ from the bare loop's: the costs do not compare",
                    style="bold red",
                )
    print_lines(
        console,
        "ms/frame: processor time of a process for each frame that its nodes processed; bare: of "
        "its components in a bare loop; lost: frames not processed; idle: ms of processor time per "
        "second without input; latency: from the publication of an image to the reader",
        machine_line(answer["machine"], None),
        wrap=True,
    )


def _costs(result: dict[str, Any]) -> Table:
    from cnn_perception.cli.terminal import figures_table

    heads = ("ms/frame", "bare", "ratio", "lost", "idle", "idle+clock")
    table = figures_table(result["drive"], "", heads, wide=True)

    def add(name: str, costs: dict[str, Any], bare: float, ratio: float | None, lost: str) -> None:
        used, idle = costs["cpu_ms_per_frame"], costs["idle_ms_per_s"]
        clock = costs.get("idle_clock_ms_per_s")
        table.add_row(
            *(name, f"{used:.1f}", f"{bare:.1f}", "-" if ratio is None else f"{ratio:.2f}", lost),
            *(f"{idle:.1f}", "-" if clock is None else f"{clock:.1f}"),
        )

    bare = result["bare_ms_per_frame"]
    for run in result["layouts"]:
        for name, each in run["processes"].items():
            nodes = each["nodes"].values()
            lost = 1 - sum(n["processed"] for n in nodes) / sum(n["sent"] for n in nodes)
            add(name, each, each["bare_ms_per_frame"], each["ratio"], f"{100 * lost:.1f} %")
        if len(run["processes"]) > 1:
            add("sum", run, bare["separate"]["sum"], run["ratio_separate"], "")
            add("sum, by one loop", run, bare["shared"]["sum"], run["ratio_shared"], "")
    return table


def _latencies(result: dict[str, Any]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table("latency, ms: p50 / p95 / p99", box=SIMPLE_HEAD)
    runs = result["layouts"]
    for run in runs:
        table.add_column(run["layout"], justify="right", no_wrap=True)
    for topic in dict.fromkeys(topic for run in runs for topic in run["latency_ms"]):
        found = [run["latency_ms"].get(topic) for run in runs]
        table.add_row(
            topic, *("{p50:.0f} / {p95:.0f} / {p99:.0f}".format(**x) if x else "-" for x in found)
        )
    return table
