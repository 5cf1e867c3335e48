"""``cnn-perception play``: a bag on ROS 2, where ``ros2 bag play`` is not installed."""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cnn_perception.errors import ConfigError

__all__ = ["command", "parse_assignment"]

_LOCKSTEP = "Lockstep"


def command(
    bag: Annotated[Path, typer.Argument(help="rosbag2 folder, .mcap or .db3 file.")],
    rate: Annotated[
        float | None, typer.Option(help="Recorded seconds per second; 1 if not given.")
    ] = None,
    loop: Annotated[int, typer.Option(help="How often to play it; 0 plays without end.")] = 1,
    clock: Annotated[
        bool, typer.Option("--clock", help="Publish the recorded time on /clock.")
    ] = False,
    clock_hz: Annotated[
        float | None, typer.Option(help="Clock ticks per recorded second; 100 if not given.")
    ] = None,
    start_offset: Annotated[float, typer.Option(help="Seconds of the beginning to skip.")] = 0.0,
    duration: Annotated[
        float | None, typer.Option(help="Recorded seconds to play from there; all if not given.")
    ] = None,
    topics: Annotated[
        list[str] | None, typer.Option(help="Play only this topic; may be given several times.")
    ] = None,
    remap: Annotated[
        list[str] | None,
        typer.Option(help="Rename a topic: /from:=/to; may be given several times."),
    ] = None,
    start_paused: Annotated[
        bool,
        typer.Option(
            "--start-paused", help="Begin when /bag_player/resume or play_next is called."
        ),
    ] = False,
    wait_for_subscribers: Annotated[
        float | None,
        typer.Option(
            help="Wait up to so many seconds until each topic has a subscriber, in lockstep until "
            "the nodes of all awaited outputs listen; if not given 0, in lockstep 120."
        ),
    ] = None,
    subscribers: Annotated[
        list[str] | None,
        typer.Option(help="Wait for so many on one topic: /topic=N; may be given several times."),
    ] = None,
    lockstep: Annotated[
        bool,
        typer.Option(
            "--lockstep",
            rich_help_panel=_LOCKSTEP,
            help="Send the next image when all awaited outputs of the last one have come.",
        ),
    ] = False,
    awaited: Annotated[
        list[str] | None,
        typer.Option(
            "--await",
            rich_help_panel=_LOCKSTEP,
            help="An output to wait for, /output or /output=/its/recorded/image; "
            "may be given several times.",
        ),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=_LOCKSTEP,
            help="A recorded topic to hold back; may be given several times. All "
            "images and clouds with a subscriber if not given.",
        ),
    ] = None,
    run_ahead: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=_LOCKSTEP,
            help="Recorded seconds of the other topics to send before waiting.  [default: 0.5]",
        ),
    ] = None,
    patience: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=_LOCKSTEP,
            help="Most seconds to wait for an output; 10 if not given.",
        ),
    ] = None,
) -> None:
    """Publish a bag on ROS 2: recorded bytes, times and QoS. Ctrl-C ends it cleanly.

    It is held by the services /bag_player/pause, resume, toggle_paused and play_next, all of
    std_srvs/Trigger. Exit code 1 when an awaited output did not come.
    """
    from cnn_perception.cli.play_output import Playing, play
    from cnn_perception.recording.bag import BagReader
    from cnn_perception.recording.lockstep import LockstepOptions
    from cnn_perception.recording.timeline import PlayOptions

    _refuse_mixture(
        lockstep,
        {"rate": rate, "clock-hz": clock_hz},
        {"await": awaited, "gate": gate, "run-ahead": run_ahead, "patience": patience},
    )
    options = PlayOptions(
        rate=1.0 if rate is None else rate,
        loops=loop,
        start_offset_ns=_nanoseconds(start_offset, "start-offset"),
        topics=frozenset(topics) if topics else None,
        clock_hz=(100.0 if clock_hz is None else clock_hz) if clock else None,
        duration_ns=None if duration is None else _nanoseconds(duration, "duration"),
    )
    steps = None
    if lockstep:
        steps = LockstepOptions(
            _outputs(awaited or []),
            frozenset(gate) if gate else None,
            run_ahead_ns=_nanoseconds(0.5 if run_ahead is None else run_ahead, "run-ahead"),
            patience_s=10.0 if patience is None else patience,
        )
    playing = Playing(
        options,
        steps,
        dict(parse_assignment(text, "remap", "/from:=/to") for text in remap or []),
        start_paused,
        None if wait_for_subscribers is None else _patience(wait_for_subscribers),
        _listeners(subscribers or []),
    )
    with BagReader(bag) as reader, _termination_as_interrupt():
        try:
            complete = play(reader, playing)
        except KeyboardInterrupt:
            typer.echo("stopped")
            return
    if not complete:
        raise typer.Exit(1)


def parse_assignment(text: str, option: str, form: str) -> tuple[str, str]:
    """Return the two sides of ``before:=after``; raises ConfigError for another form."""
    before, separator, after = text.partition(":=")
    if not (separator and before and after):
        raise ConfigError(f"--{option} {text!r} is not of the form {form}")
    return before, after


def _nanoseconds(seconds: float, option: str) -> int:
    if not math.isfinite(seconds):
        raise ConfigError(f"--{option} {seconds} is no time: give seconds")
    return round(seconds * 1e9)


def _patience(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigError(f"--wait-for-subscribers {seconds} is no time to wait: give seconds")
    return seconds


def _refuse_mixture(
    lockstep: bool, scheduled: Mapping[str, object], stepped: Mapping[str, object]
) -> None:
    """Raise ConfigError for an option that the chosen way of playing would ignore."""
    for name, value in (scheduled if lockstep else stepped).items():
        if value is not None:
            why = "has no meaning in lockstep, which keeps no schedule: leave it out"
            raise ConfigError(f"--{name} {why if lockstep else 'needs --lockstep: add it'}")


def _outputs(texts: list[str]) -> dict[str, str]:
    """Return the topic that each awaited output answers, "" where none is given."""
    outputs: dict[str, str] = {}
    for text in texts:
        output, separator, gate = text.partition("=")
        if not output or bool(separator) != bool(gate):
            raise ConfigError(f"--await {text!r} is not of the form /output or /output=/image")
        if output in outputs:
            raise ConfigError(f"--await {output} is given twice: an output answers one topic")
        outputs[output] = gate
    return outputs


def _listeners(texts: list[str]) -> dict[str, int]:
    listeners = {}
    for text in texts:
        topic, _, count = text.partition("=")
        if not (topic and count.isascii() and count.isdigit()):
            raise ConfigError(f"--subscribers {text!r} is not of the form /topic=N")
        listeners[topic] = int(count)
    return listeners


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the playing as Ctrl-C does: a service manager's stop is no failure."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
