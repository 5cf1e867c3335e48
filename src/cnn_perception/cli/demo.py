"""``cnn-perception demo``: the shipped drive through the four real nodes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cnn_perception.demo.outcome import DemoOutcome

__all__ = ["command"]


def command(
    bag: Annotated[
        Path | None,
        typer.Argument(help="A bag with an RGB-D camera and /tf; the shipped drive by default."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for what the demonstration leaves.")] = Path(
        "out/demo"
    ),
    model: Annotated[
        list[str] | None,
        typer.Option(help="Another model for a node, as detector:=fastestdet; repeatable."),
    ] = None,
) -> None:
    """Play a drive through detector, segmenter, explainer and mapper; check and show the results.

    Each node is a process of its own, and everything between them is ROS 2. Exit code 1 when an
    output is missing or a frame is unaccounted for. Set ROS_DOMAIN_ID to watch it in RViz.
    """
    from rich.console import Console

    from cnn_perception.cli.play import parse_assignment
    from cnn_perception.cli.terminal import print_lines, progress_bar
    from cnn_perception.demo.demonstration import default_domain, demonstrate
    from cnn_perception.resources import demo_drive

    console = Console()
    models = dict(parse_assignment(text, "model", "node:=model") for text in model or [])
    drive = bag if bag is not None else demo_drive()
    domain = default_domain()
    print_lines(console, f"playing {drive} on ROS_DOMAIN_ID={domain}", wrap=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with progress_bar(console) as bar:
        task = bar.add_task("", total=None)
        phase = ""

        def progress(text: str, done: int, total: int) -> None:
            nonlocal phase
            if text != phase:
                phase = text
                if not console.is_terminal:
                    print_lines(console, f"{text} ...", wrap=True)
            bar.update(task, description=text, completed=done, total=total if total > 1 else None)

        try:
            outcome = demonstrate(drive, out, progress, domain=domain, models=models)
        except KeyboardInterrupt:
            console.print("stopped")
            raise typer.Exit(130) from None
    _print(console, outcome, out)
    if outcome.faults:
        raise typer.Exit(1)


def _print(console: Console, outcome: DemoOutcome, out: Path) -> None:
    from cnn_perception.cli.terminal import figures_table, print_lines

    heads = ("sent", "received", "processed", "dropped", "p50", "p95", "p99 ms")
    table = figures_table("", "node", heads, wide=True)
    for name, node in outcome.nodes.items():
        dropped = "\n".join(f"{count} {reason}" for reason, count in node.dropped.items() if count)
        table.add_row(
            name,
            str(outcome.sent_to(name)),
            str(node.received),
            str(node.processed),
            dropped or "0",
            *("-" if ms is None else f"{ms:.1f}" for ms in node.latency_ms.values()),
        )
    console.print(table)
    for name, node in outcome.nodes.items():
        console.print(f"{name} ran {node.core}", highlight=False)
    summary = outcome.summary()["map"]
    console.print(
        f"map: {summary['occupied']} occupied and {summary['free']} free cells of "
        f"{summary['resolution']} m, {summary['bytes'] / 1048576:.2f} MiB",
        highlight=False,
    )
    for fault in outcome.faults:
        print_lines(console, f"fault: {fault}", style="bold red", wrap=True)
    print_lines(console, f"report: {out / 'report.html'}", wrap=True)
