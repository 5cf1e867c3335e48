"""What running nodes report of themselves: when all are there, and when none has work left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cnn_perception.demo.outcome import NodeOutcome
from cnn_perception.ros.recorder import Recorder

__all__ = ["NodeReports"]


class NodeReports:
    """The reports of nodes, by name, that a recorder hears on /diagnostics.

    check: called while waiting; it may raise to end that.
    """

    def __init__(self, recorder: Recorder, names: Sequence[str], check: Callable[[], None]) -> None:
        self._recorder = recorder
        self._names = tuple(names)
        self._check = check

    def latest(self) -> dict[str, NodeOutcome]:
        """Return what each node said last, by its name."""
        reports = self._recorder.reports
        return {
            name: NodeOutcome.from_diagnostics(name, reports[f"/{name}"].values)
            for name in self._names
        }

    def wait_for_new(self, timeout_s: float) -> bool:
        """Wait until every node has reported since now; false when time is up."""
        before = {name: report.reports for name, report in self._recorder.reports.items()}
        return self._recorder.wait_until(
            lambda: self._reported_since(before, 1), timeout_s, self._check
        )

    def wait_until_settled(self, timeout_s: float) -> bool:
        """Wait until every node has nothing in work and says so twice with the same count."""
        quiet: dict[str, tuple[str, int]] = {}

        def settled() -> bool:
            for name, report in self._recorder.reports.items():
                received = report.values.get("received", "")
                busy = report.values.get("in_flight", "0") != "0"
                known = quiet.get(name)
                if known is None or known[0] != received or busy:
                    quiet[name] = (received, report.reports)
            return self._reported_since({name: since for name, (_, since) in quiet.items()}, 2)

        return self._recorder.wait_until(settled, timeout_s, self._check)

    def _reported_since(self, before: Mapping[str, int], times: int) -> bool:
        now = {name: report.reports for name, report in self._recorder.reports.items()}
        names = [f"/{name}" for name in self._names]
        return all(now.get(name, 0) >= before.get(name, 0) + times for name in names)
