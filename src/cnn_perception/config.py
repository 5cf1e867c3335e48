"""The settings of the components: see `cnn_perception.settings` for what comes of them."""

from __future__ import annotations

from dataclasses import dataclass

from cnn_perception.settings import Config, setting

__all__ = [
    "DetectorConfig",
    "ExplainerConfig",
    "MapperConfig",
    "SegmenterConfig",
    "SemanticsConfig",
    "SessionConfig",
]


@dataclass(frozen=True, slots=True)
class SessionConfig(Config):
    """How a network is run by ONNX Runtime."""

    provider: str = setting(
        "auto",
        "Execution provider: auto takes CUDA where it works, else the CPU; cuda fails without it",
        choices=("auto", "cpu", "cuda"),
    )
    threads: int = setting(
        1, "Threads within one network; 0 lets ONNX Runtime choose", between=(0, 256)
    )


@dataclass(frozen=True, slots=True)
class DetectorConfig(Config):
    """What the detector keeps of the network's answers. A negative threshold takes the model's."""

    score_threshold: float = setting(
        -1.0,
        "Lowest score of a detection; negative takes the model's own",
        between=(-1.0, 1.0),
        live=True,
    )
    iou_threshold: float = setting(
        -1.0,
        "Overlap (IoU) above which the weaker of two boxes of one class is dropped; negative takes "
        "the model's own",
        between=(-1.0, 1.0),
        live=True,
    )
    max_detections: int = setting(100, "Most detections in one image", between=(1, 1000), live=True)


@dataclass(frozen=True, slots=True)
class SegmenterConfig(Config):
    """How the segmenter's overlay is drawn."""

    overlay_alpha: float = setting(
        0.5, "Opacity of the mask in the overlay", between=(0.0, 1.0), live=True
    )


@dataclass(frozen=True, slots=True)
class ExplainerConfig(Config):
    """What is explained and how it is shown."""

    method: str = setting(
        "gradcam",
        "How: gradcam, or gradcam++, which gives several objects of one class their shares",
        choices=("gradcam", "gradcam++"),
        live=True,
    )
    target_class: str = setting(
        "", "Explain the best detection of this class; empty takes the best of all", live=True
    )
    region: tuple[float, ...] = setting(
        (-1.0,),
        "Explain what is at a point [x, y] or in a box [x_min, y_min, x_max, y_max], pixels of the "
        "image; [-1.0] anywhere",
        live=True,
    )
    score_threshold: float = setting(
        -1.0,
        "Lowest score that is explained; negative takes the model's own",
        between=(-1.0, 1.0),
        live=True,
    )
    max_answers: int = setting(
        1,
        "Most answers that are explained in one image, the best first",
        between=(1, 100),
        live=True,
    )
    budget_ms: float = setting(
        10.0,
        "Milliseconds per image for explanations; the first is always made",
        between=(0.0, 10000.0),
        live=True,
    )
    evidence_share: float = setting(
        0.2,
        "Share of the largest heat above which a patch counts as evidence",
        between=(0.0, 0.99),
        live=True,
    )
    overlay_alpha: float = setting(
        0.5, "Opacity of the heat map in the overlay", between=(0.0, 1.0), live=True
    )


@dataclass(frozen=True, slots=True)
class MapperConfig(Config):
    """The occupancy map's geometry and sensor model (OctoMap, Hornung et al. 2013)."""

    engine: str = setting(
        "voxel",
        "Mapping engine: voxel, or octomap (octomap-python), slower, with the same results",
        choices=("voxel", "octomap"),
    )
    resolution: float = setting(0.05, "Edge of the smallest cell, metres", between=(0.001, 10.0))
    max_range: float = setting(
        5.0,
        "Readings beyond this range, metres, clear space but mark nothing; negative is unlimited",
        between=(-1.0, 1000.0),
        live=True,
        parameter="sensor_model.max_range",
    )
    min_range: float = setting(
        0.0, "Readings nearer than this, metres, are ignored", between=(0.0, 1000.0), live=True
    )
    depth_stride: int = setting(
        1, "Use every n-th row and column of depth images", between=(1, 64), live=True
    )
    discretize: bool = setting(
        False, "Cast one ray per occupied cell instead of one per point", live=True
    )
    probability_hit: float = setting(
        0.7, "Occupancy given a hit", between=(0.5, 0.999), live=True, parameter="sensor_model.hit"
    )
    probability_miss: float = setting(
        0.4,
        "Occupancy given a miss",
        between=(0.001, 0.5),
        live=True,
        parameter="sensor_model.miss",
    )
    clamp_min: float = setting(
        0.1192,
        "Lowest occupancy a cell keeps",
        between=(0.001, 0.499),
        live=True,
        parameter="sensor_model.min",
    )
    clamp_max: float = setting(
        0.971,
        "Highest occupancy a cell keeps",
        between=(0.501, 0.999),
        live=True,
        parameter="sensor_model.max",
    )
    decay_after: float = setting(
        0.0,
        "Seconds after which an occupied cell that no scan touches begins to fade; 0 never",
        between=(0.0, 1e6),
        live=True,
        parameter="decay.after",
    )
    decay_rate: float = setting(
        0.5,
        "Log-odds that a fading cell loses per second; at 0 it is unknown again",
        between=(0.001, 1000.0),
        live=True,
        parameter="decay.rate",
    )
    local_window: float = setting(
        0.0,
        "Edge, metres, of the cube around the sensor that is kept; 0 keeps everything",
        between=(0.0, 1e5),
        live=True,
    )
    occupancy_min_z: float = setting(
        -100.0, "Lowest z, metres, that is published", between=(-1e4, 1e4), live=True
    )
    occupancy_max_z: float = setting(
        100.0, "Highest z, metres, that is published", between=(-1e4, 1e4), live=True
    )


@dataclass(frozen=True, slots=True)
class SemanticsConfig(Config):
    """How masks give classes to the cells of a map."""

    ignore: tuple[str, ...] = setting(
        ("background",),
        "Names of classes that are not mapped; [''] for none",
        parameter="semantics.ignore",
    )
    memory: float = setting(
        50.0,
        "Most votes that a cell keeps, one per scan: with fewer it follows changes sooner",
        between=(1.0, 1e6),
        live=True,
        parameter="semantics.memory",
    )
    doubt: float = setting(
        1.0,
        "Weight of the prior in votes, spread over all classes: more needs more scans to be sure",
        between=(0.001, 1000.0),
        live=True,
        parameter="semantics.doubt",
    )
    min_confidence: float = setting(
        0.0,
        "Cells whose class is less sure are published without one",
        between=(0.0, 1.0),
        live=True,
        parameter="semantics.min_confidence",
    )
