"""Strict reading of a model.yaml: every key known, every value of its type, errors that help."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from cnn_perception.errors import ModelError

__all__ = ["Section", "read_yaml"]


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


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file; raises ModelError when it cannot be read or parsed."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _StrictLoader)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        cause = " ".join(str(error).split())
        raise ModelError(f"{path} is not valid YAML: {cause}") from error


class Section:
    """One mapping of a model.yaml. All methods raise ModelError naming file, key and value."""

    def __init__(self, file: Path, path: str, value: Any, known: Sequence[str]) -> None:
        self.file = file
        self.path = path
        if not isinstance(value, dict):
            raise ModelError(
                f"{file}: {path or 'the file'} is {_shown(value)}: give a mapping with the keys "
                f"{', '.join(known)}"
            )
        self._values = value
        for key in value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise ModelError(f"{file}: unknown key {self._name(str(key))}: {hint}")

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are given, in the order of the file."""
        return tuple(self._values)

    def fail(self, key: str, text: str) -> NoReturn:
        """Raise ModelError about the value of a key."""
        raise ModelError(f"{self.file}: {self._name(key)} {text}")

    def value(self, key: str) -> Any:
        """Return the raw value of a required key."""
        if self._values.get(key) is None:
            raise ModelError(f"{self.file}: the key {self._name(key)} is missing: add it")
        return self._values[key]

    def text(self, key: str, choices: Sequence[str] = ()) -> str:
        """Return a non-empty string, one of `choices` where they are given."""
        value = self.value(key)
        if not isinstance(value, str) or not value.strip():
            self.fail(key, f"= {_shown(value)}: give a text, in quotes")
        if choices and value not in choices:
            near = difflib.get_close_matches(value, choices, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(choices)}"
            self.fail(key, f"= {_shown(value)}: {hint}")
        return value.strip()

    def line(self, key: str) -> str:
        """Return a non-empty string on one line, whatever white space it was written with."""
        return " ".join(self.text(key).split())

    def whole(self, key: str, minimum: int, maximum: int) -> int:
        """Return an integer in [minimum, maximum]."""
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self.fail(key, f"= {_shown(value)}: give a whole number, {minimum} to {maximum}")
        return int(value)

    def number(self, key: str, minimum: float = -math.inf, maximum: float = math.inf) -> float:
        """Return a finite number in [minimum, maximum]."""
        return self._number(key, self.value(key), minimum, maximum)

    def numbers(
        self,
        key: str,
        count: int | None = None,
        minimum: float = -math.inf,
        maximum: float = math.inf,
    ) -> tuple[float, ...]:
        """Return a list of finite numbers, `count` of them where it is given."""
        return self._numbers(key, self.value(key), count, minimum, maximum)

    def number_lists(self, key: str, count: int | None = None) -> tuple[tuple[float, ...], ...]:
        """Return a list of lists of finite numbers, each of `count` where it is given."""
        rows = self._list(key, self.value(key))
        return tuple(
            self._numbers(f"{key}[{i}]", row, count, -math.inf, math.inf)
            for i, row in enumerate(rows)
        )

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a non-empty list of distinct, non-empty strings."""
        values = self._list(key, self.value(key))
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value.strip():
                self.fail(f"{key}[{index}]", f"= {_shown(value)}: give a text, in quotes")
            if value in values[:index]:
                self.fail(f"{key}[{index}]", f"= {_shown(value)} is given twice: remove one")
        if not values:
            self.fail(key, "is empty: give at least one")
        return tuple(values)

    def section(self, key: str, known: Sequence[str]) -> Section:
        """Return the mapping below a required key."""
        return Section(self.file, self._name(key), self.value(key), known)

    def optional(self, key: str, known: Sequence[str] | None = None) -> Section:
        """Return the mapping below a key, empty where it is absent; known None allows any text."""
        value = self._values.get(key)
        value = {} if value is None else value
        if known is None:
            known = tuple(map(str, value)) if isinstance(value, dict) and value else ("name",)
        return Section(self.file, self._name(key), value, known)

    def sections(self, key: str, known: Sequence[str]) -> Iterator[Section]:
        """Yield the mappings of a list; none when the key is absent."""
        for index, value in enumerate(self._list(key, self._values.get(key) or [])):
            yield Section(self.file, f"{self._name(key)}[{index}]", value, known)

    def _name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def _list(self, key: str, value: Any) -> list[Any]:
        if not isinstance(value, list):
            self.fail(key, f"= {_shown(value)}: give a list")
        return list(value)

    def _number(self, key: str, value: Any, minimum: float, maximum: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(key, f"= {_shown(value)}: give a number")
        if not (abs(value) <= 1e12 and minimum <= value <= maximum):
            self.fail(key, f"= {_shown(value)}: give a number from {minimum:g} to {maximum:g}")
        return float(value)

    def _numbers(
        self, key: str, value: Any, count: int | None, minimum: float, maximum: float
    ) -> tuple[float, ...]:
        values = self._list(key, value)
        if count is not None and len(values) != count:
            self.fail(key, f"= {_shown(value)}: give {count} numbers")
        return tuple(
            self._number(f"{key}[{i}]", item, minimum, maximum) for i, item in enumerate(values)
        )


def _shown(value: Any) -> str:
    """Return a value as one short line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
