"""``cnn-perception replay``: bags through the nodes' own objects, held to what is expected."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cnn_perception.replay.fleet.fleet import Fleet
    from cnn_perception.replay.fleet.fleet_runner import FleetRow
    from cnn_perception.replay.runner import CheckedReplay

__all__ = ["command"]

_FAILED, _BROKEN, _INTERRUPTED = 1, 2, 130


def command(
    bags: Annotated[
        list[str],
        typer.Argument(
            metavar="BAGS...", help="rosbag2 folders, .mcap, .db3 files; globs may be in quotes."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the results; of several bags, for theirs."),
    ] = Path("out/replay"),
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Plan: topics, window, nodes' parameters (YAML)."),
    ] = None,
    expect: Annotated[
        Path | None, typer.Option("--expect", "-e", help="What is expected of the results (YAML).")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Record the expectations' golden results anew.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option(help="Write the expectations as JUnit XML into this file.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Bags at a time, by Ray if several.", show_default="1, or a cluster's CPUs"
        ),
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Replay on this Ray cluster.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Of several bags, replay unchanged ones too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the results as JSON on standard output.")
    ] = False,
) -> None:
    """Replay bags without ROS, frame by frame, and check the answers.

    One bag leaves results, metrics.json, map.bt and report.html in OUT; several bags leave these in
    a folder each, and index.html. Exit code 1 when an expectation is not met, 2 for a bag or a
    setting that cannot be used.
    """
    from rich.console import Console

    from cnn_perception.cli.terminal import print_error
    from cnn_perception.errors import PerceptionError
    from cnn_perception.replay.fleet.find_bags import find_bags, is_pattern

    console = Console(stderr=as_json)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = find_bags(bags)
        if len(found) > 1 or is_pattern(bags[0]) or ray is not None or (workers or 1) > 1:
            options = {"workers": workers, "ray_address": ray, "update": update, "fresh": fresh}
            fleet = _replay_fleet(found, out, config, expect, options, console)
            _report_fleet(fleet, out, junit, console, as_json)
            code = _exit_code(fleet)
        else:
            result = _replay_one(found[0], out, config, expect, update, console)
            _report_one(result, junit, console, as_json)
            code = 0 if result.passed else _FAILED
    except PerceptionError as error:
        print_error(error)
        raise typer.Exit(_BROKEN) from error
    except KeyboardInterrupt:
        console.print("stopped")
        raise typer.Exit(_INTERRUPTED) from None
    raise typer.Exit(code)


def _replay_one(
    bag: Path, out: Path, config: Path | None, expect: Path | None, update: bool, console: Console
) -> CheckedReplay:
    """Replay a bag under a progress bar of its messages."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    from cnn_perception.cli.terminal import progress_bar
    from cnn_perception.mapping.jit import is_cached
    from cnn_perception.replay.expectations.expectations import load_expectations
    from cnn_perception.replay.expectations.schema import Expectations
    from cnn_perception.replay.per_bag import bag_name, for_bag
    from cnn_perception.replay.plan import ReplayPlan, load_plan
    from cnn_perception.replay.runner import run_test

    plan = ReplayPlan() if config is None else load_plan(config)
    expectations = Expectations() if expect is None else load_expectations(expect)
    plan, expectations = for_bag(plan, expectations, bag_name(bag))
    if not is_cached():
        console.print("compiling the mapping kernels, once on this machine: up to a minute")
    with progress_bar(console, MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task("replaying", total=None)

        def progress(done: int, total: int) -> None:
            phase = "replaying" if done < total else "checking"
            bar.update(task, description=phase, completed=done, total=total)

        return run_test(bag, out, plan, expectations, update=update, progress=progress)


def _report_one(result: CheckedReplay, junit: Path | None, console: Console, as_json: bool) -> None:
    import json

    from cnn_perception.cli.replay_tables import print_result
    from cnn_perception.replay.expectations.junit import write_junit

    summary = result.run.summary
    if junit is not None:
        write_junit(junit, {summary["bag"]["name"]: result.checks})
    if as_json:
        checks = [check.as_mapping() for check in result.checks]
        typer.echo(json.dumps({**summary, "passed": result.passed, "checks": checks}, indent=1))
    else:
        print_result(result, console)


def _replay_fleet(
    bags: tuple[Path, ...],
    out: Path,
    config: Path | None,
    expect: Path | None,
    options: dict[str, Any],
    console: Console,
) -> Fleet:
    """Replay bags under one progress bar; not on a terminal, with a line for each."""
    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    from cnn_perception.cli.replay_tables import row_line
    from cnn_perception.cli.terminal import print_lines, progress_bar
    from cnn_perception.replay.fleet.fleet import replay_fleet

    with progress_bar(console, MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task("replaying bags", total=len(bags))

        def progress(row: FleetRow, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if not console.is_terminal:
                print_lines(console, f"{done} of {total}: {row_line(row)}")

        return replay_fleet(bags, out, config, expect, progress=progress, **options)


def _report_fleet(
    fleet: Fleet, out: Path, junit: Path | None, console: Console, as_json: bool
) -> None:
    import json

    from cnn_perception.cli.replay_tables import print_fleet
    from cnn_perception.cli.terminal import print_lines
    from cnn_perception.errors import BagError
    from cnn_perception.replay.expectations.junit import write_junit

    if junit is not None:
        broken = {row.name: BagError(row.error) for row in fleet.rows if row.error}
        write_junit(junit, {row.name: broken.get(row.name, row.checks) for row in fleet.rows})
    if as_json:
        typer.echo(json.dumps(fleet.as_mapping(), indent=1))
    else:
        print_fleet(fleet, console)
        print_lines(console, f"reports: {out / 'index.html'}", wrap=True)


def _exit_code(fleet: Fleet) -> int:
    from cnn_perception.replay.fleet.fleet_runner import BROKEN, FAILED

    if fleet.left:
        return _INTERRUPTED
    if fleet.count(BROKEN):
        return _BROKEN
    return _FAILED if fleet.count(FAILED) else 0
