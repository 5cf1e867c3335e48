"""A bag through the nodes' components, in lockstep: no frame is dropped, no clock is looked at."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

from cnn_perception.components.mapper import MapperComponent
from cnn_perception.errors import BagError
from cnn_perception.recording.bag import BagReader
from cnn_perception.replay.host import Progress, ReplayHost, ReplayNode
from cnn_perception.replay.inputs import find_inputs
from cnn_perception.replay.plan import ReplayPlan
from cnn_perception.replay.results import ResultsWriter
from cnn_perception.replay.run import FRAME_COLUMNS, ReplayRun
from cnn_perception.replay.summary import summarise, timing, versions

__all__ = ["Progress", "check_folder", "replay"]

_LEFT = ("metrics.json", "report.html", "map.bt", "failures", "results", "frames.csv")


def replay(
    bag_path: Path,
    plan: ReplayPlan,
    out: Path,
    progress: Progress = lambda done, total: None,
) -> ReplayRun:
    """Replay a bag; leaves results, frames.csv, map.bt and metrics.json in the folder `out`.

    Messages are handled in the order in which they were recorded, one after the other, so the
    answers depend on the bag, the plan and the models alone. What an earlier replay left in `out`
    is removed. Raises BagError for a bag that cannot be used, ConfigError and ModelError.
    """
    with BagReader(bag_path) as bag:
        inputs = find_inputs(bag, plan)
        host = ReplayHost(bag, plan, inputs)
        check_folder(out, bag_path)
        _clear(out)
        start = time.perf_counter()
        with ResultsWriter(out) as results:
            host.run(results, progress)
        seconds = time.perf_counter() - start
        summary = {
            **summarise(bag, plan, inputs, host.nodes, results),
            **_save_map(host.nodes, out / "map.bt"),
            "timing": timing(bag, plan, host.nodes, results, seconds),
            "versions": versions(),
        }
    run = ReplayRun(out, summary)
    run.save()
    return run


def _save_map(nodes: list[ReplayNode], file: Path) -> dict[str, Any]:
    """Write the map where something was mapped; returns what metrics.json says of it."""
    for node in nodes:
        mapper = node.component
        if isinstance(mapper, MapperComponent) and mapper.save(file):
            size = mapper.occupancy.statistics()
            return {
                "map": {
                    "frame_id": mapper.frame_id,
                    "resolution": size.resolution,
                    "occupied": size.occupied,
                    "free": size.free,
                    "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                }
            }
    return {}


def check_folder(out: Path, bag: Path) -> None:
    """Raise BagError for a folder in which a replay of a bag would destroy what is of no replay.

    frames.csv tells whose it is. It is the first to come and the last to go.
    """
    left = [out / name for name in _LEFT if (out / name).exists()]
    whole = [each for each in (bag, *bag.absolute().parents) if each.exists()]
    if any(path.samefile(each) for path in left for each in whole):
        raise BagError(f"{bag} is itself what a replay left in {out}: choose another --out")
    if left and not _has_frames(out):
        raise BagError(f"{left[0]} is of no replay and would be overwritten: choose another --out")


def _clear(out: Path) -> None:
    """Remove what an earlier replay left."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in _LEFT:
            path = out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise BagError(f"cannot write into {out} ({error}): choose another --out") from error


def _has_frames(out: Path) -> bool:
    """Say whether a replay was here: its frames.csv is there, if only begun."""
    try:
        with (out / "frames.csv").open(encoding="utf-8") as file:
            return file.readline().strip() in ("", ",".join(FRAME_COLUMNS))
    except (OSError, ValueError):
        return False
