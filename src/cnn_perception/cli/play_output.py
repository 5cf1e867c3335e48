"""Playing a bag before someone's eyes: a progress bar meanwhile, what was sent at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn

from cnn_perception.cli.terminal import print_lines, progress_bar
from cnn_perception.errors import ConfigError
from cnn_perception.messages.stamps import ns_to_stamp
from cnn_perception.recording.bag import BagReader
from cnn_perception.recording.lockstep import LockstepOptions, MissingOutput, Step
from cnn_perception.recording.timeline import PlayOptions, TimelineEvent
from cnn_perception.ros.lockstep import Lockstep
from cnn_perception.ros.player import BagPlayer, PlaySummary, open_player

__all__ = ["Playing", "play"]

# The first mapper on a machine compiles its kernels, for up to a minute.
_READY_S = 120.0


@dataclass(frozen=True, slots=True)
class Playing:
    """What to play and how: on schedule, or in lockstep where `lockstep` is given.

    wait_s: most seconds to wait for those who listen, None for the usual; listeners: how many
    subscribers to wait for, by recorded topic, where it is not one.
    """

    options: PlayOptions
    lockstep: LockstepOptions | None
    remaps: Mapping[str, str]
    paused: bool
    wait_s: float | None
    listeners: Mapping[str, int]


def play(bag: BagReader, playing: Playing) -> bool:
    """Play and print what was sent; false when an awaited output did not come."""
    console = Console()
    counts = "{task.completed}/{task.total} messages"
    bar = progress_bar(console, counts, TimeElapsedColumn())
    with open_player(bag, playing.options, remaps=playing.remaps, paused=playing.paused) as player:
        for topic, reason in player.skipped.items():
            console.print(f"left out {topic}: {reason}", markup=False)
        if unknown := sorted(set(playing.listeners) - set(player.types)):
            raise ConfigError(
                f"--subscribers {unknown[0]}: that is none of the played topics "
                f"{', '.join(player.types)}"
            )
        with bar:
            run = _in_lockstep if playing.lockstep is not None else _on_schedule
            summary = run(player, playing, bar)
    _report(console, summary)
    if playing.lockstep is None:
        latest_ms = summary.latest_s * 1e3
        console.print(f"at most {latest_ms:.1f} ms behind the schedule", highlight=False)
    return not summary.missing


def _on_schedule(player: BagPlayer, playing: Playing, bar: Progress) -> PlaySummary:
    wait_s = playing.wait_s
    if wait_s is None:
        wait_s = _READY_S if playing.listeners else 0.0
    if wait_s > 0:
        player.wait_for_subscribers(wait_s, playing.listeners)
    task = bar.add_task(f"playing {player.bag.path.name}", total=_total(player))

    def advance(event: TimelineEvent, sent_ns: int) -> None:
        if event.message is not None:
            bar.update(task, advance=1, description=f"loop {event.loop + 1}")

    return player.play(advance)


def _in_lockstep(player: BagPlayer, playing: Playing, bar: Progress) -> PlaySummary:
    assert playing.lockstep is not None
    lockstep = Lockstep(player, playing.lockstep)
    wait_s = _READY_S if playing.wait_s is None else playing.wait_s
    lockstep.wait_until_ready(wait_s, playing.listeners)
    task = bar.add_task(f"playing {player.bag.path.name}", total=_total(player))

    def advance(step: Step, missing: Sequence[MissingOutput]) -> None:
        bar.update(task, advance=len(step.messages), description=f"loop {step.loop + 1}")
        for output in missing:
            seconds, nanoseconds = ns_to_stamp(output.stamp_ns)
            text = f"no {output.topic} with stamp {seconds}.{nanoseconds:09d}"
            print_lines(bar.console, text)

    return lockstep.play(advance)


def _total(player: BagPlayer) -> int | None:
    return player.message_count * player.options.loops or None


def _report(console: Console, summary: PlaySummary) -> None:
    for topic, count in sorted(summary.messages.items()):
        print_lines(console, f"{count:7d}  {topic}")
    outputs = sorted({topic for loop in summary.loops for topic in loop.answered})
    for topic in outputs:
        counts = [loop.answered[topic] for loop in summary.loops]
        by_loop = f", by loop {' '.join(map(str, counts))}" if len(counts) > 1 else ""
        print_lines(console, f"{sum(counts):7d}  {topic} came{by_loop}")
    if summary.missing:
        print_lines(
            console,
            f"{len(summary.missing)} awaited outputs did not come. They were lost, or a node "
            "dropped the image, as a mapper does without a transform: see its log and diagnostics",
        )
