"""A map's services, under octomap_server's names, and those that save and load it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_perception.components.component import Service
from cnn_perception.errors import MapError
from cnn_perception.parameters import MapperNodeConfig

if TYPE_CHECKING:
    from cnn_perception.components.map_topics import MapTopics
    from cnn_perception.components.mapper import MapperComponent

__all__ = ["map_services", "save_path"]


def save_path(settings: MapperNodeConfig) -> Path:
    """Return the file that the map is saved to. Raises RuntimeError for the home of nobody."""
    return Path(settings.save_path).expanduser().absolute()


def map_services(mapper: MapperComponent, topics: MapTopics) -> Sequence[Service]:
    """Return what serves a map, clears, saves and loads it."""
    occupancy = mapper.occupancy

    def get(make: Callable[[], Any]) -> Callable[[Any, Any], None]:
        return lambda request, response: setattr(response, "map", make())

    def clear_box(request: Any, response: Any) -> None:
        low, high = (np.array([p.x, p.y, p.z]) for p in (request.min, request.max))
        forget = mapper.config(MapperNodeConfig).clear_to == "unknown"
        occupancy.clear_box(low, high, forget=forget)
        if mapper.classes is not None:
            mapper.classes.clear_box(low, high)
        mapper.changed()

    def save(request: Any, response: Any) -> None:
        settings = mapper.config(MapperNodeConfig)
        with _failing(f"{settings.save_path} was not written"):
            path = save_path(settings)
            occupancy.save(path)
        response.message = f"saved to {path}"

    def load(request: Any, response: Any) -> None:
        settings = mapper.config(MapperNodeConfig)
        with _failing("the map stays as it is"):
            path = Path(settings.load_path or settings.save_path).expanduser().absolute()
            occupancy.load(path)
        mapper.replaced()
        response.message = f"loaded {path}"

    return (
        Service("octomap_binary", "octomap_msgs/srv/GetOctomap", get(topics.binary)),
        Service("octomap_full", "octomap_msgs/srv/GetOctomap", get(topics.full)),
        Service("~/clear_bbox", "octomap_msgs/srv/BoundingBoxQuery", clear_box),
        Service("~/reset", "std_srvs/srv/Empty", lambda request, response: mapper.forget()),
        Service("~/save", "std_srvs/srv/Trigger", save),
        Service("~/load", "std_srvs/srv/Trigger", load),
    )


@contextmanager
def _failing(consequence: str) -> Iterator[None]:
    """Raise MapError, which says what follows, for whatever a file can fail with."""
    try:
        yield
    except (MapError, OSError, RuntimeError) as error:  # RuntimeError: the home of nobody
        raise MapError(f"{consequence}: {error}") from error
