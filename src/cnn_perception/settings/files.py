"""Strict reading of YAML files into settings: every key known, errors of one line that help."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml

from cnn_perception.errors import ConfigError, PerceptionError
from cnn_perception.settings.declaration import Config, settings
from cnn_perception.settings.errors import SettingError

__all__ = ["load", "parse", "read_yaml"]

C = TypeVar("C", bound=Config)


class _StrictLoader(yaml.SafeLoader):  # type: ignore[misc,unused-ignore]
    """Safe YAML that refuses a key given twice; plain YAML would keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_yaml(path: Path, error: type[PerceptionError] = ConfigError) -> Any:
    """Return the content of a YAML file; raises `error` when it cannot be read or parsed."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except OSError as cause:
        raise error(f"{path} cannot be read: {cause.strerror}") from cause
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        raise error(f"{path} is not valid YAML: {' '.join(str(cause).split())}") from cause


def load(path: Path, config: type[C], error: type[PerceptionError] = ConfigError) -> C:
    """Read a YAML file as settings; paths in it are relative to its folder.

    Raises `error`, naming the file, the key, its value and the remedy.
    """
    return parse(read_yaml(path, error), config, path, error)


def parse(tree: Any, config: type[C], path: Path, error: type[PerceptionError] = ConfigError) -> C:
    """Read what a YAML file, named for errors and relative paths, holds; see `load`."""
    if tree is None and not any(known.required for known in settings(config)):
        tree = {}  # an empty file
    try:
        return config.from_mapping(tree, path.parent)
    except SettingError as cause:
        raise error(f"{path}: {cause}") from cause
