"""Node processes: started with ROS arguments, watched, and always ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnn_perception.errors import PerceptionError
from cnn_perception.resources import share_directory

__all__ = [
    "NodeProcess",
    "NodeSpec",
    "environment_variables",
    "node_processes",
    "ros_environment",
]

_STOP_S = 10.0


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A node to run: its name, topic renames, parameters."""

    name: str
    remaps: Mapping[str, str]
    parameters: Mapping[str, str]


class NodeProcess:
    """One node, run as ``python -m cnn_perception.ros.<name>``; its output goes to a log file."""

    def __init__(self, spec: NodeSpec, log: Path, environment: Mapping[str, str]) -> None:
        self.name = spec.name
        self.log = log
        arguments = ["--ros-args"]
        for before, after in spec.remaps.items():
            arguments += ["-r", f"{before}:={after}"]
        for key, value in spec.parameters.items():
            arguments += ["-p", f"{key}:={value}"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cnn_perception.ros.run", spec.name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                # Ctrl-C in the terminal is for this process, which then ends the nodes in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the process number."""
        return self._process.pid

    def check(self) -> None:
        """Raise PerceptionError when the process has ended, with the last lines of its log."""
        code = self._process.poll()
        if code is not None:
            raise PerceptionError(f"node {self.name} ended with code {code}: {self._last_words()}")

    def interrupt(self) -> None:
        """Ask the process to end, as Ctrl-C does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def wait(self, deadline: float) -> None:
        """Wait for the end until a `time.monotonic` moment; then kill it."""
        try:
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def faults(self) -> list[str]:
        """Return what was wrong with an ended process: its exit code, tracebacks in its log."""
        faults = []
        if self._process.returncode != 0:
            faults.append(f"node {self.name} ended with code {self._process.returncode}")
        if "Traceback (most recent call last)" in self.log.read_text("utf-8", "replace"):
            faults.append(f"node {self.name} had an exception")
        return [f"{fault}: {self._last_words()}" for fault in faults]

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return f"{lines[-1] if lines else 'it said nothing'} (all of it in {self.log})"


@contextmanager
def node_processes(
    specs: Sequence[NodeSpec], logs: Path, environment: Mapping[str, str]
) -> Iterator[list[NodeProcess]]:
    """Run nodes with a log file each; end them when the block is left, however it is left."""
    processes: list[NodeProcess] = []
    try:
        for spec in specs:
            process = NodeProcess(spec, logs / f"{spec.name}.log", environment)
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            process.interrupt()
        deadline = time.monotonic() + _STOP_S
        for process in processes:
            process.wait(deadline)


def ros_environment(logs: Path, domain: int) -> dict[str, str]:
    """Return what keeps ROS on this machine, in one domain, and lets raw images through."""
    humble = os.environ.get("ROS_DISTRO") == "humble"
    profile = "FASTRTPS_DEFAULT_PROFILES_FILE" if humble else "FASTDDS_DEFAULT_PROFILES_FILE"
    large_images = share_directory() / "config" / "fastdds_large_images.xml"
    return {
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str((logs / "ros").absolute()),
        profile: os.environ.get(profile, str(large_images)),
    }


@contextmanager
def environment_variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process's environment within a block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
