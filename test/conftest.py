"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Processes inherit what is ignored; started in the background by a shell, Ctrl-C would be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures and networks that are not part of the project; skips where they are absent."""
    folder = Path(os.environ.get("CNN_PERCEPTION_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}: point CNN_PERCEPTION_SHARED at data/ and models/")
    return folder


@pytest.fixture(scope="session")
def compiled_kernels() -> None:
    """The mapping kernels are on disk, so that mapper processes start in seconds.

    After a change of their sources a mapper compiles them for up to a minute, longer than tests
    wait for a process. What there is to compile, a node knows best.
    """
    from cnn_perception.components.component import Setup
    from cnn_perception.components.mapper import MapperComponent
    from cnn_perception.recording.compose import encode

    values = MapperComponent.parameters.complete({"semantics.enabled": True})
    MapperComponent(Setup("mapper", values, encode)).services()
