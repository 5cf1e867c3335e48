"""Stamps, and the pairing of streams through bursts, gaps, loops and threads."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import pytest

from cnn_perception.errors import ConfigError, MessageError
from cnn_perception.messages import DROP_REASONS
from cnn_perception.messages.stamps import (
    header_stamp_ns,
    ns_to_stamp,
    stamp_to_ns,
)
from cnn_perception.messages.sync import ApproximateTimeSynchronizer

MS = 1_000_000
SECOND = 1_000_000_000


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, SECOND, 1_700_000_000_123_456_789, -1])
def test_stamps_are_whole_nanoseconds(stamp_ns: int) -> None:
    sec, nanosec = ns_to_stamp(stamp_ns)
    assert 0 <= nanosec < SECOND
    assert stamp_to_ns(SimpleNamespace(sec=sec, nanosec=nanosec)) == stamp_ns


def test_numpy_integers_do_not_overflow() -> None:
    stamp = SimpleNamespace(sec=np.int32(2_000_000_000), nanosec=np.uint32(5))
    assert stamp_to_ns(stamp) == 2_000_000_000 * SECOND + 5


@pytest.mark.parametrize(("order", "flag"), [("<", 1), (">", 0)])
def test_a_serialised_header_says_its_stamp(order: str, flag: int) -> None:
    data = bytes([0, flag, 0, 0]) + struct.pack(f"{order}iI", 1_700_000_000, 123_456_789)
    assert header_stamp_ns(data + b"rest") == 1_700_000_000_123_456_789
    with pytest.raises(MessageError, match="11 bytes") as caught:
        header_stamp_ns(data[:11])
    assert caught.value.reason in DROP_REASONS


def _holds(sync: ApproximateTimeSynchronizer, added: dict[str, int], groups: int) -> None:
    """Assert that each stream's items are all accounted for."""
    for stream, count in added.items():
        dropped = sync.dropped(stream)
        assert set(dropped) <= set(DROP_REASONS)
        assert count == groups + sync.pending(stream) + sum(dropped.values())


def test_equal_stamps_pair_whoever_comes_first() -> None:
    sync = ApproximateTimeSynchronizer(["depth", "info"])
    assert sync.add("depth", 10, "d10") is None
    assert sync.add("info", 10, "i10") == ("d10", "i10")
    assert sync.add("info", 20, "i20") is None
    assert sync.add("depth", 20, "d20") == ("d20", "i20")
    assert sync.add("depth", 31, "d31") is None
    assert sync.add("info", 30, "i30") is None
    _holds(sync, {"depth": 3, "info": 3}, 2)


def test_three_streams() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b", "c"])
    assert sync.add("c", 5, 3) is None
    assert sync.add("a", 5, 1) is None
    assert sync.add("b", 5, 2) == (1, 2, 3)


def test_within_the_slop_the_nearest_is_taken() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"], slop_ns=5)
    sync.add("a", 100, "a100")
    sync.add("a", 108, "a108")
    assert sync.add("b", 105, "b105") == ("a108", "b105")
    assert sync.dropped("a") == {"unpaired": 1}
    assert sync.add("b", 130, "b130") is None
    assert sync.add("a", 136, "a136") is None
    assert sync.add("a", 135, "a135") == ("a135", "b130")
    _holds(sync, {"a": 4, "b": 2}, 2)


def test_what_a_group_passed_over_is_dropped_and_what_comes_late_too() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"])
    sync.add("a", 1, "a1")
    sync.add("a", 2, "a2")
    assert sync.add("b", 2, "b2") == ("a2", "b2")
    assert sync.dropped() == {"unpaired": 1}
    assert sync.add("b", 1, "b1") is None
    assert sync.dropped("b") == {"late": 1}
    _holds(sync, {"a": 2, "b": 2}, 1)


def test_the_queue_is_bounded() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"], queue_size=3)
    for stamp in range(10):
        sync.add("a", stamp, stamp)
    assert sync.pending("a") == 3
    assert sync.dropped() == {"unpaired": 7}
    assert sync.add("b", 6, "b") is None
    assert sync.add("b", 7, "b") == (7, "b")


def test_the_newer_of_two_equal_stamps_is_kept() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"])
    sync.add("a", 1, "first")
    sync.add("a", 1, "second")
    assert sync.add("b", 1, "b") == ("second", "b")
    assert sync.dropped("a") == {"duplicate_stamp": 1}
    _holds(sync, {"a": 2, "b": 1}, 1)


def _play_loops(
    sync: ApproximateTimeSynchronizer, length: int, loops: int, order: str, lag: int
) -> list[list[tuple[int, int]]]:
    """Play a bag of `length` pairs at 30 Hz; stream b arrives `lag` messages after a."""
    turn = {"a": order.index("a"), "b": order.index("b")}
    events = [
        (loop * length + i + (lag if stream == "b" else 0), turn[stream], stream, loop, i)
        for loop in range(loops)
        for i in range(length)
        for stream in "ab"
    ]
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(loops)]
    for _, _, stream, loop, i in sorted(events):
        group = sync.add(stream, SECOND + i * 33 * MS, (loop, i))
        if group is not None:
            (loop_a, index_a), (loop_b, index_b) = group
            assert loop_a == loop_b
            pairs[loop_a].append((index_a, index_b))
    return pairs


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("lag", [0, 1, 3])
@pytest.mark.parametrize("length", [10, 290])
def test_every_loop_of_a_bag_pairs_alike(length: int, lag: int, order: str) -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"])
    pairs = _play_loops(sync, length, 3, order, lag)
    whole = [(i, i) for i in range(length)]
    # Where b lags, the last of a still wait when a begins again: those pairs are lost, no more.
    lost = lag if order == "ab" else max(lag - 1, 0)
    shorter = whole[: length - lost]
    assert pairs == [shorter, shorter, whole]
    assert sync.jumps == 4
    _holds(sync, {"a": 3 * length, "b": 3 * length}, sum(map(len, pairs)))


def test_leftovers_of_the_last_loop_do_not_cost_the_next_its_beginning() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"])
    sync.add("a", 10 * SECOND, "old a")
    sync.add("b", 10 * SECOND + 5, "old b")
    assert sync.add("a", 0, "new a") is None
    assert sync.pending("b") == 0
    assert sync.add("b", 10 * SECOND + 9, "straggler") is None
    assert sync.add("b", 0, "new b") == ("new a", "new b")
    assert sync.dropped("b") == {"time_went_back": 2}
    _holds(sync, {"a": 2, "b": 3}, 1)


def test_a_stream_that_never_seems_to_jump_is_paired_again() -> None:
    """One message per loop: its stamp repeats, but does not go back."""
    sync = ApproximateTimeSynchronizer(["a", "b"])
    for _ in range(3):
        assert sync.add("a", 0, 0) is None
        assert sync.add("a", SECOND, 1) is None
        assert sync.add("b", SECOND, "b") == (1, "b")


def test_what_waited_from_before_a_jump_is_gone_whatever_its_stamp() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"])
    sync.add("a", 150 * MS, "old")
    sync.add("a", 300 * MS, "old")
    assert sync.add("a", 160 * MS, "new") is None
    assert sync.dropped() == {"time_went_back": 2}
    assert sync.add("b", 150 * MS, "b") is None


def test_an_item_too_old_for_a_full_queue_forms_no_group() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"], slop_ns=50, queue_size=1)
    sync.add("a", 0, "a0")
    assert sync.add("b", 51, "b51") is None
    assert sync.add("b", 1, "b1") is None
    assert sync.dropped("b") == {"unpaired": 1}


def test_small_disorder_is_not_a_jump() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"])
    for stamp in (50, 20, 80, 30):
        sync.add("a", stamp * MS, stamp)
    assert sync.jumps == 0
    assert sync.add("b", 30 * MS, "b") == (30, "b")
    assert sync.add("b", 80 * MS, "b") == (80, "b")
    assert sync.dropped() == {"unpaired": 2}


def test_clear_drops_and_forgets() -> None:
    sync = ApproximateTimeSynchronizer(["a", "b"])
    sync.add("a", 10 * SECOND, 1)
    sync.clear()
    assert sync.pending("a") == 0
    assert sync.dropped() == {"cleared": 1}
    sync.add("a", 1, 1)
    assert sync.add("b", 1, 2) == (1, 2)
    assert sync.jumps == 0


@pytest.mark.parametrize(
    ("streams", "options"),
    [
        (["a"], {}),
        (["a", "a"], {}),
        (["a", "b"], {"slop_ns": -1}),
        (["a", "b"], {"queue_size": 0}),
        (["a", "b"], {"jump_ns": -1}),
    ],
)
def test_bad_settings_are_refused(streams: list[str], options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        ApproximateTimeSynchronizer(streams, **options)
