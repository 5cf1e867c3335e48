"""The sensor model: by how much a hit and a miss change a cell."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cnn_perception.config import MapperConfig

__all__ = ["SensorModel", "log_odds"]


def log_odds(probability: float) -> np.float32:
    """Return log(p / (1 - p)) as OctoMap does: in double precision, kept as float32."""
    value: np.float32 = np.float32(math.log(probability / (1.0 - probability)))
    return value


@dataclass(frozen=True, slots=True)
class SensorModel:
    """Log-odds added by a hit and by a miss, and the limits between which a cell stays."""

    hit: np.float32
    miss: np.float32
    lowest: np.float32
    highest: np.float32

    @classmethod
    def from_config(cls, config: MapperConfig) -> SensorModel:
        """Convert the probabilities of a configuration."""
        return cls(
            log_odds(config.probability_hit),
            log_odds(config.probability_miss),
            log_odds(config.clamp_min),
            log_odds(config.clamp_max),
        )
