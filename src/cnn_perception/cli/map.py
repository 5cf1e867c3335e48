"""``cnn-perception map``: an occupancy map from a recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cnn_perception.mapping.mapper import Mapper
    from cnn_perception.replay.depth_scans import BagScans, FolderScans

__all__ = ["command"]


def command(
    source: Annotated[Path, typer.Argument(help="Rosbag, or folder of frame-N.depth.png files.")],
    out: Annotated[Path, typer.Option(help="Map file, .bt or .ot.")] = Path("map.bt"),
    resolution: Annotated[float, typer.Option(help="Edge of a cell, metres.")] = 0.05,
    max_range: Annotated[
        float, typer.Option(help="Readings beyond, metres, only clear; negative: unlimited.")
    ] = 5.0,
    min_range: Annotated[float, typer.Option(help="Ignore nearer readings, metres.")] = 0.0,
    discretize: Annotated[
        bool, typer.Option("--discretize", help="One ray per occupied cell: faster, less exact.")
    ] = False,
    stride: Annotated[int, typer.Option(help="Use every n-th row and column of images.")] = 1,
    every: Annotated[int, typer.Option(min=1, help="Use every n-th image.")] = 1,
    depth_topic: Annotated[str, typer.Option(help="Depth images of the bag; empty: find.")] = "",
    camera_info_topic: Annotated[str, typer.Option(help="Its calibration; empty: find.")] = "",
    map_frame: Annotated[str, typer.Option(help="Frame of the map, for bags.")] = "map",
    level: Annotated[bool, typer.Option(help="Find the vertical, for folders.")] = True,
    pictures: Annotated[bool, typer.Option(help="Draw the map into .png files beside it.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build an OctoMap (.bt, .ot) from a rosbag or an RGB-D folder, with pictures of it."""
    from contextlib import closing, nullcontext

    from rich.console import Console

    from cnn_perception.config import MapperConfig
    from cnn_perception.errors import MapError
    from cnn_perception.mapping.mapper import Mapper
    from cnn_perception.replay.bag import BagReader
    from cnn_perception.replay.rgbd_folder import RgbdFolder

    if out.suffix not in (".bt", ".ot"):
        raise MapError(f"cannot save a map as {out}: its name must end in .bt or .ot")
    config = MapperConfig(
        resolution=resolution,
        max_range=max_range,
        min_range=min_range,
        discretize=discretize,
        depth_stride=stride,
    )
    mapper = Mapper(config)
    console = Console(stderr=as_json)
    bag = None if RgbdFolder.recognises(source) else BagReader(source)
    with closing(bag) if bag is not None else nullcontext():
        if bag is None:
            scans: Any = _folder_scans(source, level)
        else:
            scans = _bag_scans(bag, depth_topic, camera_info_topic, map_frame)
        path = _integrate(mapper, scans, every, console)
    if not path:
        last = getattr(scans, "last_error", "")
        raise MapError(f"no image of {source} could be mapped{': ' if last else ''}{last}")
    out.parent.mkdir(parents=True, exist_ok=True)
    mapper.save(out)
    files = [out, *(_draw(mapper, path, out, source.name) if pictures else [])]
    _report(mapper, len(path), dict(scans.skipped), files, console, as_json)


def _folder_scans(source: Path, level: bool) -> FolderScans:
    from cnn_perception.replay.depth_scans import FolderScans
    from cnn_perception.replay.rgbd_folder import RgbdFolder

    return FolderScans(RgbdFolder(source), leveled=level)


def _bag_scans(bag: Any, depth_topic: str, camera_info_topic: str, map_frame: str) -> BagScans:
    from cnn_perception.replay.depth_scans import BagScans
    from cnn_perception.replay.streams import camera_streams

    if not (depth_topic and camera_info_topic):
        found = camera_streams(bag)
        depth_topic = depth_topic or found.depth
        camera_info_topic = camera_info_topic or found.camera_info
    return BagScans(bag, depth_topic, camera_info_topic, map_frame)


def _integrate(mapper: Mapper, scans: Any, every: int, console: Console) -> list[Any]:
    """Map the scans under a progress bar; returns where the camera was, map frame."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    path = []
    columns = (TextColumn("mapping"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        for index, scan in enumerate(bar.track(scans, total=len(scans))):
            if index % every == 0:
                mapper.integrate_depth(scan.depth, scan.intrinsics, scan.map_from_sensor)
                path.append(scan.map_from_sensor.translation)
    return path


def _draw(mapper: Mapper, path: list[Any], out: Path, name: str) -> list[Path]:
    """Draw the map from a corner and from above; returns the files."""
    import numpy as np

    from cnn_perception.image.codec import encode_png
    from cnn_perception.mapping.views import render_isometric, render_top

    occupied, way = mapper.occupied_cells(), np.array(path, np.float32)
    title = f"{name}, {mapper.config.resolution:g} m cells"
    pictures = {
        "isometric": render_isometric(occupied, camera_path=way, title=title),
        "top": render_top(occupied, mapper.free_cells(), camera_path=way, title=title),
    }
    files = []
    for view, picture in pictures.items():
        files.append(out.with_name(f"{out.stem}_{view}.png"))
        files[-1].write_bytes(encode_png(picture))
    return files


def _report(
    mapper: Mapper,
    mapped: int,
    skipped: dict[str, int],
    files: list[Path],
    console: Console,
    as_json: bool,
) -> None:
    import json

    statistics = mapper.statistics()
    if as_json:
        result = {
            "images": mapped,
            "skipped": skipped,
            "resolution": statistics.resolution,
            "occupied_cells": statistics.occupied,
            "free_cells": statistics.free,
            "files": [str(file) for file in files],
        }
        typer.echo(json.dumps(result))
        return
    lost = ", ".join(f"{count} {reason}" for reason, count in sorted(skipped.items()))
    lines = [
        f"{mapped} images mapped" + (f", skipped: {lost}" if lost else ""),
        f"{statistics.occupied} occupied and {statistics.free} free cells of "
        f"{statistics.resolution:g} m",
        *(str(file) for file in files),
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
