"""Node processes are watched and always ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from cnn_perception.demo.processes import NodeProcess, NodeSpec, node_processes
from cnn_perception.errors import PerceptionError

LONG_S = 60.0


@pytest.fixture
def programs(tmp_path: Path) -> dict[str, str]:
    """An environment in which the nodes are small programs without ROS."""
    folder = tmp_path / "programs" / "cnn_perception" / "ros"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").write_text("")
    (folder / "run.py").write_text(
        "import runpy, sys\nname = f'cnn_perception.ros.{sys.argv.pop(1)}'\n"
        "runpy.run_module(name, run_name='__main__')\n"
    )
    wait = "import signal, sys, time\nprint('ready', sys.argv[1:], flush=True)\n"
    polite = "try:\n    signal.pause()\nexcept KeyboardInterrupt:\n    sys.exit(0)\n"
    (folder / "polite.py").write_text(wait + polite)
    (folder / "rude.py").write_text(wait + "signal.pause()\n")
    (folder / "broken.py").write_text("import sys\nprint('no such model')\nsys.exit(3)\n")
    return {"PYTHONPATH": str(folder.parents[1])}


def ready(process: NodeProcess) -> None:
    deadline = time.monotonic() + LONG_S
    while "ready" not in process.log.read_text():
        process.check()
        assert time.monotonic() < deadline


def test_arguments_and_a_clean_end(programs: dict[str, str], tmp_path: Path) -> None:
    spec = NodeSpec("polite", {"image": "/camera/image"}, {"model": "m"})
    with node_processes([spec], tmp_path, programs) as (process,):
        ready(process)
        process.check()
    assert process.faults() == []
    said = process.log.read_text()
    assert "['--ros-args', '-r', 'image:=/camera/image', '-p', 'model:=m']" in said


def test_a_node_that_ends_by_itself_is_named(programs: dict[str, str], tmp_path: Path) -> None:
    with node_processes([NodeSpec("broken", {}, {})], tmp_path, programs) as (process,):
        process.wait(time.monotonic() + LONG_S)
        with pytest.raises(PerceptionError, match="node broken ended with code 3: no such model"):
            process.check()
    assert len(process.faults()) == 1


def test_an_unclean_end_is_a_fault(programs: dict[str, str], tmp_path: Path) -> None:
    with node_processes([NodeSpec("rude", {}, {})], tmp_path, programs) as (process,):
        ready(process)
    code, exception = process.faults()
    assert "ended with code" in code
    assert "had an exception" in exception


def test_processes_end_when_the_block_fails(programs: dict[str, str], tmp_path: Path) -> None:
    specs = [NodeSpec("polite", {}, {}), NodeSpec("rude", {}, {})]
    with (
        pytest.raises(RuntimeError, match="playing failed"),
        node_processes(specs, tmp_path, programs) as processes,
    ):
        for process in processes:
            ready(process)
        raise RuntimeError("playing failed")
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)
