"""A process killed while it saves a map leaves the old file or the new one, never a part."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cnn_perception.mapping.files.storage import load_map

KILLS = 40
# Makes two maps; for each path that it reads it starts a process which saves them there in turn,
# writes that one's number, and then how it ended.
SAVER = """
import itertools, os, sys
from pathlib import Path
import numpy as np
from cnn_perception.config import MapperConfig
from cnn_perception.mapping.occupancy_map import OccupancyMap
from cnn_perception.types import RigidTransform

def mapped(seed):
    mapper = OccupancyMap(MapperConfig(resolution=0.05))
    points = np.random.default_rng(seed).normal(0, 2, (4000, 3)).astype(np.float32)
    mapper.integrate_cloud(points, RigidTransform.identity())
    mapper.binary_payload(), mapper.full_payload()
    return mapper

maps = [mapped(1), mapped(2)]
for line in sys.stdin:
    path = Path(line.strip())
    for number, mapper in enumerate(maps):
        mapper.save(path.with_name(f"{number}{path.suffix}"))
    child = os.fork()
    if child == 0:
        for number in itertools.count():
            maps[number % 2].save(path)
            if number == 1:
                print(os.getpid(), flush=True)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def saver() -> Iterator[subprocess.Popen[str]]:
    """The process that starts processes which save."""
    command = [sys.executable, "-c", SAVER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("suffix", ["bt", "ot", "vox"])
def test_a_kill_at_any_moment_leaves_a_whole_file(
    saver: subprocess.Popen[str], tmp_path: Path, suffix: str
) -> None:
    assert saver.stdin is not None
    assert saver.stdout is not None
    path = tmp_path / f"map.{suffix}"
    moments = random.Random(suffix)
    for _ in range(KILLS):
        print(path, file=saver.stdin, flush=True)
        child = int(saver.stdout.readline())
        time.sleep(moments.uniform(0, 0.01))  # a save takes some milliseconds
        os.kill(child, signal.SIGKILL)
        assert int(saver.stdout.readline()) == signal.SIGKILL
        complete = [(tmp_path / f"{number}.{suffix}").read_bytes() for number in (0, 1)]
        assert complete[0] != complete[1]
        assert path.read_bytes() in complete
    assert len(load_map(path).leaves) > 1000
