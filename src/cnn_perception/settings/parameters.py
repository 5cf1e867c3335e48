"""Settings as ROS parameters: by their ROS names, live and in a replay."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cnn_perception.settings.declaration import Config, Setting, described, setting, settings
from cnn_perception.settings.errors import unknown

__all__ = ["NodeConfig", "NodeParameters", "flat", "read"]

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class NodeConfig(Config):
    """What every node has."""

    autostart: bool = setting(
        True, "Configure and activate at start; false waits for a lifecycle manager"
    )
    image_transport: str = setting(
        "raw",
        "Subscribe to raw images, or to <topic>/compressed and <topic>/compressedDepth",
        choices=("raw", "compressed"),
    )


@dataclass(frozen=True, slots=True)
class NodeParameters:
    """Everything that a kind of node can be told.

    defaults: by a setting's own name, where the node's default is another than the class's.
    """

    configs: tuple[type[Config], ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Setting]:
        """Return the parameters by their ROS names, with the node's defaults."""
        configs: list[type[Config]] = [NodeConfig, *self.configs]
        found = {}
        for known in (known for config in configs for known in settings(config)):
            name = known.parameter or known.name
            default = self.defaults.get(known.name, known.default)
            found[name] = dataclasses.replace(known, default=default, key=name)
        return found

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value for every parameter. Raises ConfigError for unknown names, bad values."""
        known = self.settings()
        for name in given:
            if name not in known:
                raise unknown(name, known, "parameter")
        return {
            name: each.read(given[name]) if name in given else each.default
            for name, each in known.items()
        }

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of a mapping of parameters, with points in names or nested."""
        properties: dict[str, Any] = {}
        for name, known in self.settings().items():
            *groups, last = name.split(".")
            inner = properties
            for group in groups:
                inner = inner.setdefault(
                    group, {"type": "object", "properties": {}, "additionalProperties": False}
                )["properties"]
            inner[last] = properties[name] = described(known)
        return {"type": "object", "properties": properties, "additionalProperties": False}


def flat(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield nested parameters by their full names, with points between the levels."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read(values: Mapping[str, Any], config: type[C]) -> C:
    """Build a configuration from parameter values by their ROS names."""
    return config(**{each.name: values[each.parameter or each.name] for each in settings(config)})
