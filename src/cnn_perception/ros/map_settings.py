"""The mapper node's own parameters, beside those of the map: topics, outputs, files, colours.

Names and defaults are octomap_server's (octomap_mapping, ros2 branch) wherever it has the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.config import Config, setting

__all__ = ["MapColors", "MapperNodeConfig"]


@dataclass(frozen=True, slots=True)
class MapperNodeConfig(Config):
    """What the node maps, when it publishes, and where it keeps files."""

    frame_id: str = setting("map", "Frame of the map")
    base_frame_id: str = setting("base_footprint", "Frame in which the ground is looked for, z up")
    source: str = setting(
        "depth",
        "What is mapped: depth/image with depth/camera_info, cloud_in, or both",
        choices=("depth", "cloud", "both"),
    )
    cameras: tuple[str, ...] = setting(
        ("",),
        "Prefixes of the inputs, one for each camera or lidar: '' is depth/image or cloud_in, "
        "'front' is front/depth/image or front/cloud_in",
    )
    transform_timeout: float = setting(
        0.5,
        "Most seconds to wait for a transform or a camera_info before a frame is skipped",
        minimum=0.0,
        maximum=10.0,
        live=True,
    )
    silence_timeout: float = setting(
        5.0,
        "Seconds without a mapped frame after which log and diagnostics say what is missing",
        minimum=0.1,
        maximum=3600.0,
        live=True,
    )
    time_jump: str = setting(
        "keep",
        "What becomes of the map when time goes back: keep, or reset",
        choices=("keep", "reset"),
        live=True,
    )
    publish_rate: float = setting(
        1.0, "Most often, per second, that the map is published", minimum=0.01, maximum=100.0
    )
    latch: bool = setting(True, "Keep the last map of each topic for readers that come later")
    publish_free_space: bool = setting(
        False, "Publish free cells on free_cells_vis_array", live=True
    )
    octomap_path: str = setting(
        "", "Map file that is loaded at configure: .bt, .ot or .vox; empty: none"
    )
    save_path: str = setting("map.bt", "File that ~/save writes: .bt, .ot or .vox", live=True)
    load_path: str = setting("", "File that ~/load reads; empty: save_path", live=True)
    autosave_period: float = setting(
        0.0,
        "Seconds between saves to save_path, which is written at deactivate too; 0: only ~/save",
        minimum=0.0,
        maximum=86400.0,
    )
    clear_to: str = setting(
        "free",
        "What ~/clear_bbox makes of known cells: free, as octomap_server does, or unknown",
        choices=("free", "unknown"),
        live=True,
    )


def _channel(name: str, default: float, cells: str, parameter: str) -> float:
    channel: float = setting(
        default,
        f"{name} of {cells} cells",
        minimum=0.0,
        maximum=1.0,
        live=True,
        parameter=parameter,
    )
    return channel


@dataclass(frozen=True, slots=True)
class MapColors(Config):
    """How cells are coloured in the marker topics."""

    use_height_map: bool = setting(False, "Colour occupied cells by their height", live=True)
    color_factor: float = setting(
        0.8,
        "Part of the colour circle that use_height_map spans, from red at the top",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    colored_map: bool = setting(
        False,
        "Make octomap_full a ColorOcTree in the colours of classes; needs semantics.enabled",
        live=True,
    )
    red: float = _channel("Red", 0.0, "occupied", "color.r")
    green: float = _channel("Green", 0.0, "occupied", "color.g")
    blue: float = _channel("Blue", 1.0, "occupied", "color.b")
    alpha: float = _channel("Opacity", 1.0, "occupied", "color.a")
    free_red: float = _channel("Red", 0.0, "free", "color_free.r")
    free_green: float = _channel("Green", 1.0, "free", "color_free.g")
    free_blue: float = _channel("Blue", 0.0, "free", "color_free.b")
    free_alpha: float = _channel("Opacity", 1.0, "free", "color_free.a")

    @property
    def occupied(self) -> tuple[float, float, float, float]:
        """Colour of occupied cells, RGBA in [0, 1]."""
        return self.red, self.green, self.blue, self.alpha

    @property
    def free(self) -> tuple[float, float, float, float]:
        """Colour of free cells, RGBA in [0, 1]."""
        return self.free_red, self.free_green, self.free_blue, self.free_alpha
