"""The shipped drive through the shipped networks and the mapper: what it always was."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.usefixtures("compiled_kernels")


@pytest.mark.replay("../../../data/demo_drive", expect="../../data/demo_drive.yaml")
def test_the_shipped_drive_is_seen_as_ever(replay) -> None:
    replay.check()
