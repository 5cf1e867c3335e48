"""Declaring settings: frozen dataclasses whose fields have descriptions, ranges and choices."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from cnn_perception.errors import ConfigError
from cnn_perception.settings.errors import SettingError, missing, shown, unknown
from cnn_perception.settings.kinds import Kind, kind_of

__all__ = ["REQUIRED", "Config", "Setting", "described", "setting", "settings"]

C = TypeVar("C", bound="Config")

REQUIRED: Any = dataclasses.MISSING
"""The default of a setting that has none."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One field: its description, allowed values, whether it changes live, its other names.

    type: the annotation; key: its name in files; parameter: its ROS name where an established node
    has set one, or empty; keys: of a mapping.
    """

    name: str
    type: Any
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] | None = None
    live: bool = False
    parameter: str = ""
    key: str = ""
    keys: tuple[str, ...] | None = None
    required: bool = False
    kind: Kind = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", kind_of(self.type, self))

    def check(self, value: Any) -> None:
        """Raise ConfigError unless `value` has the right type and lies in the range."""
        self.read(value)

    def read(self, value: Any, folder: Path | None = None) -> Any:
        """Return a value as the annotation says: a list as a tuple, a whole number as a float.

        folder: what paths are relative to. Raises SettingError.
        """
        if value is self.default or (type(value) is type(self.default) and value == self.default):
            return value
        try:
            return self.kind.read(value, folder)
        except SettingError as error:
            raise error.below(self.key or self.name) from error

    @property
    def is_list(self) -> bool:
        """True for a tuple of any length: tuple[str, ...] or tuple[float, ...]."""
        return get_origin(self.type) is tuple


def setting(
    default: Any,
    description: str,
    *,
    between: tuple[float, float] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    live: bool = False,
    parameter: str = "",
    key: str = "",
    keys: tuple[str, ...] | None = None,
    required: bool = False,
) -> Any:
    """Declare a field of a Config.

    default: REQUIRED where there is none; `required` asks for it in files all the same. between:
    minimum and maximum at once; these and choices are of the value, or of each in a list; keys: of
    a mapping, the innermost one. `live` says that it may change between two frames; `parameter` is
    its ROS parameter's name where an established node has set one, `key` its name in files, else
    the field's own name.
    """
    metadata = locals().copy()  # all but the default are fields of Setting
    del metadata["default"], metadata["between"]
    metadata["required"] = required or default is REQUIRED
    if between is not None:
        metadata["minimum"], metadata["maximum"] = between
    if isinstance(default, dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def settings(config: type[Config] | Config) -> tuple[Setting, ...]:
    """Return the settings of a configuration class, in order of declaration."""
    # Any: mypy takes a class whose instances are compared by value for not hashable itself.
    cls: Any = config if isinstance(config, type) else type(config)
    found: tuple[Setting, ...] = _settings(cls)
    return found


@cache
def _settings(cls: type[Any]) -> tuple[Setting, ...]:
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        Setting(each.name, hints[each.name], _default(each), **each.metadata)
        for each in dataclasses.fields(cls)
        if each.metadata  # others are no settings: what a subclass adds to what is read
    )


def _default(each: dataclasses.Field[Any]) -> Any:
    factory = each.default_factory
    return each.default if factory is dataclasses.MISSING else factory()


@dataclass(frozen=True, slots=True)
class Config:
    """Base of every configuration: checked when made; unknown names are refused.

    A subclass that compares its settings with each other does so in ``__post_init__``, after
    ``Config.__post_init__(self)``, and raises SettingError with the name of one.
    """

    def __post_init__(self) -> None:
        for known in settings(self):
            value = getattr(self, known.name)
            read = known.read(value)
            if read is not value:
                object.__setattr__(self, known.name, read)

    @classmethod
    def from_mapping(cls: type[C], values: Any, folder: Path | None = None) -> C:
        """Build from keys and values as YAML gives them; paths are relative to `folder`.

        Raises SettingError for an unknown key, a missing one and a bad value.
        """
        made: C = cls.as_kind().read(values, folder)
        return made

    @classmethod
    def as_kind(cls) -> Kind:
        """Return what reads the mapping of the class's settings, and describes it."""
        own: Any = cls
        return _record(own)


class _Record(Kind):
    nullable = True

    def __init__(self, cls: type[Config]) -> None:
        self.cls = cls
        self.settings = {known.key or known.name: known for known in settings(cls)}

    def read(self, value: Any, folder: Path | None) -> Any:
        if isinstance(value, self.cls):
            return value
        known = self.settings
        if not isinstance(value, Mapping):
            keys = ", ".join(known)
            raise SettingError("", f"is {shown(value)}: give a mapping with the keys {keys}")
        for key in value:
            if key not in known:
                raise unknown(key, known)
        chosen = {}
        for key, each in known.items():
            given = value.get(key)
            if given is not None:
                chosen[each.name] = each.read(given, folder)
            elif each.required or (key in value and not each.kind.nullable):
                raise missing(key)
        try:
            return self.cls(**chosen)
        except SettingError:
            raise
        except ConfigError as error:
            raise SettingError("", f": {error}") from error

    @property
    def schema(self) -> dict[str, Any]:  # type: ignore[override]  # few are ever asked for
        return {
            "type": "object",
            "properties": {key: described(each) for key, each in self.settings.items()},
            "required": [key for key, each in self.settings.items() if each.required],
            "additionalProperties": False,
        }


@cache
def _record(cls: type[Any]) -> _Record:
    return _Record(cls)


def described(known: Setting) -> dict[str, Any]:
    """Return the schema of a setting with its description, and its default where JSON has it."""
    schema = dict(known.kind.schema)
    if known.kind.nullable and not known.required:
        schema = {"anyOf": [schema, {"type": "null"}]}
    default = list(known.default) if isinstance(known.default, tuple) else known.default
    with suppress(TypeError, ValueError):
        json.dumps(default, allow_nan=False)
        schema |= {} if default is None else {"default": default}
    return {"description": known.description, **schema}
