"""What ``cnn-perception replay`` prints: of one bag, and of many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from cnn_perception.cli.terminal import figures_table, print_lines

if TYPE_CHECKING:
    from rich.console import Console

    from cnn_perception.replay.expectations.check import Check
    from cnn_perception.replay.fleet.fleet import Fleet
    from cnn_perception.replay.fleet.fleet_runner import FleetRow
    from cnn_perception.replay.runner import CheckedReplay

__all__ = ["print_fleet", "print_result", "row_line"]

_STYLES = {"passed": "green", "failed": "bold red", "broken": "bold red"}


def print_result(result: CheckedReplay, console: Console) -> None:
    """Print what came of one bag: its nodes, the speed, the map, what failed, the report."""
    summary = result.run.summary
    table = figures_table(
        "", "node", ("received", "processed", "dropped", "found", "p50 ms"), wide=True
    )
    for name, node in summary["nodes"].items():
        milliseconds = summary["timing"]["latency_ms"][name]["p50"]
        counts = (str(node[key]) for key in ("received", "processed"))
        found = str(node["found"])
        table.add_row(name, *counts, _dropped(node["dropped"]), found, f"{milliseconds:.1f}")
    console.print(table)
    timing, built = summary["timing"], summary.get("map")
    lines = [
        f"{timing['frames']} frames in {timing['seconds']:.1f} s: "
        f"{timing['frames_per_second']:.1f} per second, {timing['times_real_time']:.2f} x real time"
    ]
    if built:
        lines.append(
            f"map: {built['occupied']} occupied and {built['free']} free cells of "
            f"{built['resolution']:g} m"
        )
    lines += [f"not replayed: {name}: {why}" for name, why in summary["bag"]["left_out"].items()]
    lines.append(_met(len(result.checks), len(result.failures)))
    print_lines(console, *lines)
    _print_failures(result.failures, console)
    print_lines(console, f"report: {result.run.out / 'report.html'}")


def print_fleet(fleet: Fleet, console: Console) -> None:
    """Print what came of many bags: a line for each, the sums, what failed and why."""
    table = figures_table(
        "", "bag", ("frames", "x real time", "dropped", "expectations met", "verdict"), wide=True
    )
    totals = fleet.totals()
    for row in fleet.rows:
        table.add_row(
            escape(row.name),
            str(row.frames),
            f"{row.times_real_time:.2f}",
            _dropped(row.dropped),
            f"{len(row.checks) - len(row.failures)} of {len(row.checks)}",
            f"[{_STYLES[row.verdict]}]{row.verdict}[/]{', kept' if row.kept else ''}",
        )
    table.add_section()
    table.add_row(
        f"{totals['bags']} bags",
        str(totals["frames"]),
        f"{totals['times_real_time']:.2f}",
        _dropped(totals["dropped"]),
        f"{totals['expectations'] - totals['not_met']} of {totals['expectations']}",
        f"{totals['passed']} passed",
    )
    if fleet.rows:
        console.print(table)
    lines = []
    if totals["frames_per_second"]:
        lines.append(
            f"{totals['frames_per_second']:.1f} frames per second, "
            f"{totals['frames_per_second_and_worker']:.1f} for each of {fleet.workers} workers"
            if fleet.workers > 1
            else f"{totals['frames_per_second']:.1f} frames per second, one worker"
        )
    if totals["kept"]:
        lines.append(f"{totals['kept']} bags kept from an earlier run: nothing changed since")
    if fleet.left:
        lines.append(f"stopped: {len(fleet.left)} bags are left; the same command goes on")
    print_lines(console, *lines)
    for row in fleet.rows:
        if row.error:
            print_lines(console, f"{row.name}: {row.error}", style="bold red")
        _print_failures(row.failures, console, f"{row.name}: ")


def row_line(row: FleetRow) -> str:
    """Return what came of a bag as one line."""
    if row.error:
        return f"{row.name} {row.verdict}: {row.error}"
    met = _met(len(row.checks), len(row.failures))
    return f"{row.name} {row.verdict}{', kept' if row.kept else ''}: {row.frames} frames, {met}"


def _print_failures(failures: Iterable[Check], console: Console, prefix: str = "") -> None:
    for check in failures:
        print_lines(console, f"failed: {prefix}{check.name}: {check.message}", style="bold red")
        if check.picture is not None:
            print_lines(console, f"  see {check.picture}")


def _dropped(dropped: Mapping[str, Any]) -> str:
    return "\n".join(f"{count} {reason}" for reason, count in dropped.items()) or "0"


def _met(expectations: int, failures: int) -> str:
    return f"{expectations - failures} of {expectations} expectations met"
