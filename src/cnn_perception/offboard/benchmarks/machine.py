"""What measurements depend on: the machine, its load, and the core they ran on."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["describe_machine", "machine_line", "use_one_core"]

_LIBRARIES = (
    "numpy",
    "numba",
    "octomap-python",
    "opencv-python-headless",
    "onnxruntime",
    "torch",
    "torchvision",
    "grad-cam",
    "captum",
)


def use_one_core() -> int | None:
    """Bind this process and its children to one core; returns its number, None where none can.

    Call it before numerical libraries are imported: it also sets their numbers of threads to 1.
    """
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"
    if not hasattr(os, "sched_setaffinity"):
        return None
    core = max(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(0, {core})
    except OSError:
        return None
    return core


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, load, system and versions, as JSON can hold them."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.is_file() else [])
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(),
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def machine_line(machine: Mapping[str, Any], core: int | None) -> str:
    """Return processor, core and load in words, from `describe_machine` and `use_one_core`."""
    place = "not bound to a core" if core is None else f"core {core} alone"
    return f"{machine['cpu']}, {place}, load {machine['load_average'][0]:g}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
