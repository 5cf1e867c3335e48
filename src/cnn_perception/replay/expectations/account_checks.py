"""Whether every message was processed, how often, and how fast: what frames.csv says."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import methodcaller

from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.expectations.check import Check
from cnn_perception.replay.expectations.ledger import Account
from cnn_perception.replay.expectations.terms import Bound, Expectations, shown
from cnn_perception.replay.moments import at, window_ns
from cnn_perception.replay.run import ReplayRun

__all__ = ["bounded", "check_accounts", "missing_node"]


def check_accounts(
    run: ReplayRun, ledger: Mapping[str, Account], expectations: Expectations
) -> Iterator[Check]:
    """Yield the checks of ``frames``, ``drops``, ``rate`` and ``latency``, defaults included."""
    total = sum(account.processed for account in ledger.values())
    text = f"{total} frames were processed" if total else "no node processed a single frame"
    yield Check("frames", total > 0, text)
    yield from _received(run, ledger)
    for node, account in ledger.items():
        limits = expectations.frames.get(node, {})
        if not {"processed", "dropped"} & set(limits):
            yield _no_drops(run, node, account, expectations.drops)
    yield from _reasons(ledger, expectations.drops)
    for name, node, what, figure, bound in _figures(expectations):
        if node in ledger:
            yield bounded(name, what, figure(ledger[node]), bound)
        else:
            yield missing_node(name, node, ledger)


_Figure = tuple[str, str, str, Callable[[Account], float], Bound]
"""A check's name, the node, what the figure is, the figure, and its bound."""


def _figures(expectations: Expectations) -> Iterator[_Figure]:
    for node, limits in expectations.frames.items():
        for key, bound in limits.items():
            count = methodcaller("count", key)
            yield f"frames.{node}.{key}", node, f"{key} messages", count, bound
    for node, bound in expectations.rate.items():
        yield f"rate.{node}", node, "frames per second by their stamps", Account.rate, bound
    for node, limits in expectations.latency.items():
        for key, bound in limits.items():
            what, latency = f"{key} latency in milliseconds", methodcaller("latency", key)
            yield f"latency.{node}.{key}", node, what, latency, bound


def bounded(name: str, what: str, value: float, bound: Bound) -> Check:
    """Return the check of a figure; NaN, which stands for none, fails."""
    if value != value:
        return Check(name, False, f"there is no figure of {what}, expected {bound}")
    fits = bound.allows(value)
    return Check(name, fits, f"{what}: {shown(value)}, expected {bound}")


def missing_node(name: str, node: str, known: Iterable[str]) -> Check:
    """Return the failed check of an expectation on a node that did not run."""
    known = list(known)
    near = difflib.get_close_matches(node, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there were {', '.join(known) or 'none'}"
    return Check(name, False, f"no node {node} took part in this replay: {hint}")


def _received(run: ReplayRun, ledger: Mapping[str, Account]) -> Iterator[Check]:
    """Check that each message of the recording reached the nodes that listen to its topic."""
    counts: Counter[str] = Counter()
    start_ns, stop_ns = window_ns(run)
    topics = {topic for account in ledger.values() for topic in account.topics}
    with BagReader(run.results) as results:  # what one node said to another
        counts.update({each.name: each.count for each in results.topics if each.name in topics})
    topics -= set(counts)
    with BagReader(run.bag) as bag:
        there = {topic.name: topic.count for topic in bag.topics if topic.name in topics}
        if start_ns <= bag.start_ns and stop_ns is None:
            counts.update(there)
        else:
            for raw in bag.raw_messages(there, start_ns=start_ns, stop_ns=stop_ns):
                counts[raw.topic] += 1
    for node, account in ledger.items():
        wrong = [
            f"{account.received[topic]} of {counts[topic]} messages of {topic}"
            for topic in sorted(account.topics)
            if account.received[topic] != counts[topic]
        ]
        sums = sum(account.received.values())
        text = f"received {', '.join(wrong)}" if wrong else f"received all {sums} messages"
        yield Check(f"received.{node}", not wrong, text)


def _no_drops(run: ReplayRun, node: str, account: Account, allowed: Mapping[str, Bound]) -> Check:
    """Check that nothing was dropped but for reasons that have a limit of their own."""
    lost = {reason: n for reason, n in account.dropped.items() if reason not in allowed}
    name = f"processed.{node}"
    received = account.count("received")
    if not lost:
        return Check(name, True, f"processed {account.processed} of {received} messages")
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(lost.items()))
    first = next(drop for reason, drop in account.first_drops.items() if reason in lost)
    text = (
        f"dropped {sum(lost.values())} of {received} messages ({reasons}), the first drop at "
        f"{at(run, first.time)}: {first.detail or first.reason}"
    )
    return Check(name, False, text, first.time.stamp_ns)


def _reasons(ledger: Mapping[str, Account], drops: Mapping[str, Bound]) -> Iterator[Check]:
    total: Counter[str] = Counter()
    for account in ledger.values():
        total.update(account.dropped)
    for reason, bound in drops.items():
        yield bounded(f"drops.{reason}", f"messages dropped as {reason}", total[reason], bound)
