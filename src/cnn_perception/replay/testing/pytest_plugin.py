"""Bags as tests of other packages: a marker that names a bag, a fixture that has replayed it.

    @pytest.mark.replay("bags/drive", config="replay.yaml", expect="drive.yaml")
    def test_drive(replay):
        replay.check()

pytest loads this wherever the package is installed: nothing heavy may be imported up here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cnn_perception.replay.expectations.check import Check
    from cnn_perception.replay.run import ReplayRun
    from cnn_perception.replay.testing.replay_session import ReplaySession

__all__ = ["Replayed", "pytest_addoption", "pytest_configure", "replay", "replay_session"]

_LINE = '@pytest.mark.replay("bags/drive", config="replay.yaml", expect="drive.yaml")'


class Replayed:
    """A bag that was replayed. run: what it left; checks: the expectations, met or not."""

    def __init__(self, run: ReplayRun, checks: tuple[Check, ...]) -> None:
        self.run = run
        self.checks = checks

    def messages(self, topic: str) -> list[Any]:
        """Return the results on a topic, decoded, in order; fails the test for an unknown topic."""
        from cnn_perception.errors import BagError
        from cnn_perception.recording.bag import BagReader

        try:
            with BagReader(self.run.results) as results:
                return [item.message for item in results.messages([topic])]
        except BagError as error:
            pytest.fail(str(error), pytrace=False)

    def check(self) -> None:
        """Fail the test unless every expectation was met, with what was found and its picture."""
        lines = []
        for check in self.checks:
            if not check.passed:
                lines.append(f"{check.name}: {check.message}")
                lines += [f"  see {check.picture}"] if check.picture is not None else []
        if lines:
            pytest.fail("\n".join([*lines, f"report: {self.run.out / 'report.html'}"]), False)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("replay", "replay of bags (cnn_perception)")
    group.addoption(
        "--replay-update",
        action="store_true",
        help="record the golden results of the bags that are replayed, instead of failing on them",
    )
    group.addoption(
        "--replay-out",
        type=Path,
        metavar="DIR",
        help="keep results and reports here; by default they go to pytest's temporary folder",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "replay(bag, config=None, expect=None): the bag of the fixture `replay`, its plan and its "
        "expectations; paths are relative to the test's file",
    )


@pytest.fixture(scope="session")
def replay_session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ReplaySession:
    """The bags that tests of this session have replayed."""
    from cnn_perception.replay.testing.replay_session import ReplaySession

    folder = request.config.getoption("replay_out")
    out = tmp_path_factory.mktemp("replay") if folder is None else folder.absolute()
    # Processes of pytest-xdist replay the same bags at the same time.
    out /= os.environ.get("PYTEST_XDIST_WORKER", "")
    return ReplaySession(out, update=request.config.getoption("replay_update"))


@pytest.fixture
def replay(request: pytest.FixtureRequest, replay_session: ReplaySession) -> Replayed:
    """The bag that the test's marker names, replayed and checked; see `Replayed`."""
    from cnn_perception.errors import PerceptionError

    marker = request.node.get_closest_marker("replay")
    if marker is None:
        pytest.fail(f"{request.node.name} names no bag: write {_LINE} above it", pytrace=False)
    try:
        paths = _paths(request.path.parent, *marker.args, **marker.kwargs)
    except TypeError as error:
        text = str(error).replace("_paths()", "pytest.mark.replay")
        pytest.fail(f"{text}: write {_LINE}", pytrace=False)
    try:
        tested = replay_session.test(*paths)
        return Replayed(tested.run, tested.checks)
    except PerceptionError as error:
        pytest.fail(str(error), pytrace=False)


def _paths(
    folder: Path,
    bag: str | Path,
    config: str | Path | None = None,
    expect: str | Path | None = None,
) -> tuple[Path, Path | None, Path | None]:
    return (
        folder / bag,
        None if config is None else folder / config,
        None if expect is None else folder / expect,
    )
