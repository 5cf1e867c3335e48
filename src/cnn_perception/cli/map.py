"""``cnn-perception map``: an occupancy map from a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnn_perception.cli import map_info
from cnn_perception.cli.default_group import DEFAULT, DefaultCommand, DefaultGroup
from cnn_perception.cli.options import option
from cnn_perception.config import MapperConfig

if TYPE_CHECKING:
    from collections import Counter

    from rich.console import Console

    from cnn_perception.mapping.occupancy_map import OccupancyMap

__all__ = ["app", "command"]

app = typer.Typer(
    cls=DefaultGroup, help="Build an occupancy map from a recording; `map info FILE` describes one."
)
app.command("info")(map_info.command)


@app.command(
    DEFAULT,
    cls=DefaultCommand,
    hidden=True,
    epilog="cnn-perception map info FILE says what a map file holds.",
)
def command(
    source: Annotated[Path, typer.Argument(help="Rosbag, or folder of frame-N.depth.png files.")],
    out: Annotated[Path, typer.Option(help="Map file: .bt, .ot or .vox.")] = Path("map.bt"),
    resolution: float = option(MapperConfig, "resolution"),
    max_range: float = option(MapperConfig, "max_range"),
    min_range: float = option(MapperConfig, "min_range"),
    discretize: bool = option(MapperConfig, "discretize", "--discretize"),
    engine: str = option(MapperConfig, "engine"),
    stride: int = option(MapperConfig, "depth_stride"),
    every: Annotated[int, typer.Option(min=1, help="Use every n-th scan.")] = 1,
    depth_topic: Annotated[
        list[str] | None,
        typer.Option(help="Depth images of a bag; found if not given; repeatable."),
    ] = None,
    camera_info_topic: Annotated[
        list[str] | None, typer.Option(help="Their calibration; found if not given; repeatable.")
    ] = None,
    cloud_topic: Annotated[
        list[str] | None,
        typer.Option(help="Point clouds of a bag; found if it has no depth images; repeatable."),
    ] = None,
    map_frame: Annotated[str, typer.Option(help="Frame of the map, for bags.")] = "map",
    level: Annotated[bool, typer.Option(help="Find the vertical, for folders.")] = True,
    pictures: Annotated[bool, typer.Option(help="Draw the map into .png files beside it.")] = True,
    below: Annotated[
        float | None,
        typer.Option(help="Leave out of the pictures what is higher, metres; a ceiling if unset."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build an occupancy map from a rosbag or an RGB-D folder, with pictures of it.

    A bag needs depth images with camera_info, or point clouds, and /tf.

    A .bt file says occupied or free, .ot and .vox keep the log-odds.
    """
    from contextlib import closing, nullcontext

    from rich.console import Console

    from cnn_perception.errors import MapError
    from cnn_perception.mapping.files.storage import check_suffix
    from cnn_perception.mapping.occupancy_map import OccupancyMap
    from cnn_perception.recording.bag import BagReader
    from cnn_perception.recording.bag_scans import BagScans
    from cnn_perception.recording.folder_scans import FolderScans
    from cnn_perception.recording.rgbd_folder import RgbdFolder
    from cnn_perception.recording.streams import scan_streams

    check_suffix(out)
    config = MapperConfig(
        engine=engine,
        resolution=resolution,
        max_range=max_range,
        min_range=min_range,
        discretize=discretize,
        depth_stride=stride,
    )
    mapper = OccupancyMap(config)
    console = Console(stderr=as_json)
    bag = None if RgbdFolder.recognises(source) else BagReader(source)
    with closing(bag) if bag is not None else nullcontext():
        if bag is None:
            scans: Any = FolderScans(RgbdFolder(source), leveled=level)
        else:
            chosen = (depth_topic or (), camera_info_topic or (), cloud_topic or ())
            scans = BagScans(bag, scan_streams(bag, *chosen), map_frame)
        path, points = _integrate(mapper, scans, every, console)
    if not path:
        last = getattr(scans, "last_error", "")
        raise MapError(f"no scan of {source} could be mapped{': ' if last else ''}{last}")
    out.parent.mkdir(parents=True, exist_ok=True)
    mapper.save(out)
    files = [out, *(_draw(mapper, path, out, source.name, below) if pictures else [])]
    _report(mapper, len(path), points, dict(scans.skipped), files, console, as_json)


def _integrate(
    mapper: OccupancyMap, scans: Any, every: int, console: Console
) -> tuple[list[Any], Counter[str]]:
    """Map the scans under a progress bar; returns where the sensor was, and what became of points.

    The next scans are read while one is mapped.
    """
    from collections import Counter
    from itertools import islice

    from rich.progress import MofNCompleteColumn, TimeElapsedColumn

    from cnn_perception.cli.terminal import progress_bar
    from cnn_perception.mapping.jit import is_cached
    from cnn_perception.recording.prefetch import prefetch

    if not is_cached():
        console.print("compiling the mapping kernels, once on this machine: up to a minute")
    path = []
    points: Counter[str] = Counter()
    with progress_bar(console, MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        task = bar.add_task("mapping", total=-(-len(scans) // every))
        mapper.warm_up()
        for scan in prefetch(islice(scans, None, None, every)):
            report = mapper.integrate(scan)
            points.update(used=report.used, not_finite=report.not_finite, outside=report.outside)
            path.append(scan.map_from_sensor.translation)
            bar.advance(task)
    return path, points


def _draw(
    mapper: OccupancyMap, path: list[Any], out: Path, name: str, below: float | None
) -> list[Path]:
    """Draw the map from a corner and from above; returns the files."""
    import numpy as np

    from cnn_perception.image.codec import encode_png
    from cnn_perception.mapping.pictures.cell_grid import ceiling
    from cnn_perception.mapping.pictures.views import render_isometric, render_top

    occupied, way = mapper.occupied_cells(), np.array(path, np.float32)
    if below is None:
        below = ceiling(occupied, way)
    title = f"{name}, {mapper.config.resolution:g} m cells"
    pictures = {
        "isometric": render_isometric(occupied, camera_path=way, below=below, title=title),
        "top": render_top(occupied, mapper.free_cells(), camera_path=way, below=below, title=title),
    }
    files = []
    for view, picture in pictures.items():
        files.append(out.with_name(f"{out.stem}_{view}.png"))
        files[-1].write_bytes(encode_png(picture))
    return files


def _report(
    mapper: OccupancyMap,
    mapped: int,
    points: Counter[str],
    skipped: dict[str, int],
    files: list[Path],
    console: Console,
    as_json: bool,
) -> None:
    import json

    from cnn_perception.cli.terminal import print_lines

    statistics = mapper.statistics()
    if as_json:
        result = {
            "scans": mapped,
            "skipped": skipped,
            "points": dict(points),
            "engine": mapper.config.engine,
            "resolution": statistics.resolution,
            "occupied_cells": statistics.occupied,
            "free_cells": statistics.free,
            "files": [str(file) for file in files],
        }
        typer.echo(json.dumps(result))
        return
    lost = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    unused = {
        "are not finite": points["not_finite"],
        "lie outside of what a map can hold": points["outside"],
    }
    lines = [
        f"{mapped} scans mapped" + (f", skipped: {lost}" if lost else ""),
        *(f"{count} points {text}" for text, count in unused.items() if count),
        f"{statistics.occupied} occupied and {statistics.free} free cells of "
        f"{statistics.resolution:g} m",
        *(str(file) for file in files),
    ]
    print_lines(console, *lines)
