"""``cnn-perception play``: a bag on ROS 2, where ``ros2 bag play`` is not installed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from cnn_perception.errors import ConfigError

if TYPE_CHECKING:
    from cnn_perception.recording.bag import BagReader
    from cnn_perception.recording.timeline import PlayOptions, TimelineEvent

__all__ = ["command", "parse_assignment"]


def command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap or .db3 file.")],
    rate: Annotated[float, typer.Option(help="Recorded seconds per second.")] = 1.0,
    loop: Annotated[int, typer.Option(help="How often to play it; 0 plays without end.")] = 1,
    clock: Annotated[
        bool, typer.Option("--clock", help="Publish the recorded time on /clock.")
    ] = False,
    clock_hz: Annotated[float, typer.Option(help="Clock ticks per recorded second.")] = 100.0,
    start_offset: Annotated[float, typer.Option(help="Seconds of the beginning to skip.")] = 0.0,
    topics: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Play only this topic; may be given several times."),
    ] = None,
    remap: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Rename a topic: /from:=/to; may be given several times."),
    ] = None,
    wait_for_subscribers: Annotated[
        float,
        typer.Option(help="Wait up to so many seconds until each topic has a subscriber."),
    ] = 0.0,
) -> None:
    """Publish a bag on ROS 2: recorded bytes, times and QoS. Ctrl-C ends it cleanly."""
    from cnn_perception.recording.bag import BagReader
    from cnn_perception.recording.timeline import PlayOptions

    options = PlayOptions(
        rate=rate,
        loops=loop,
        start_offset_ns=round(start_offset * 1e9),
        topics=frozenset(topics) if topics else None,
        clock_hz=clock_hz if clock else None,
    )
    remaps = dict(parse_assignment(text, "remap", "/from:=/to") for text in remap or [])
    with BagReader(bag) as reader, _termination_as_interrupt():
        try:
            _play(reader, options, remaps, wait_for_subscribers)
        except KeyboardInterrupt:
            typer.echo("stopped")


def _play(reader: BagReader, options: PlayOptions, remaps: dict[str, str], wait_s: float) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from cnn_perception.nodes.player import open_player

    console = Console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} messages"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with open_player(reader, options, remaps=remaps) as player, bar:
        for topic, reason in player.skipped.items():
            console.print(f"left out {topic}: {reason}", markup=False)
        if wait_s > 0:
            player.wait_for_subscribers(wait_s)
        total = player.message_count * options.loops if options.loops else None
        task = bar.add_task(f"playing {reader.path.name}", total=total)

        def advance(event: TimelineEvent, sent_ns: int) -> None:
            if event.message is not None:
                bar.update(task, advance=1, description=f"loop {event.loop + 1}")

        summary = player.play(advance)
    for topic, count in sorted(summary.messages.items()):
        console.print(f"{count:7d}  {topic}", markup=False, highlight=False)
    console.print(f"at most {summary.latest_s * 1e3:.1f} ms behind the schedule", highlight=False)


def parse_assignment(text: str, option: str, form: str) -> tuple[str, str]:
    """Return the two sides of ``before:=after``; raises ConfigError for another form."""
    before, separator, after = text.partition(":=")
    if not (separator and before and after):
        raise ConfigError(f"--{option} {text!r} is not of the form {form}")
    return before, after


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the playing as Ctrl-C does: a service manager's stop is no failure."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
