"""Models whose answers are known, written once."""

from __future__ import annotations

import pytest

from recorded_robot import Bundles, write_bundles


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    """The bundles of `models`."""
    return write_bundles(tmp_path_factory.mktemp("bundles"))
