"""The kinds of values: what an annotation means for reading, for errors and for a JSON schema.

`kind_of` makes a kind from the annotation of a setting:

==============================  ==========================================================
annotation                      value in a file
==============================  ==========================================================
``bool``, ``int``, ``float``    true or false, a whole number, a finite number
``str``, ``Text``, ``Line``     a text; not empty; not empty and brought onto one line
``Path``                        the name of a file, relative to the folder of the YAML file
``tuple[T, ...]``               a list; of ``Text``: at least one, and none twice
``tuple[T, U]``                 a list with so many entries
``Mapping[str, T]``             a mapping with free keys, or those that the setting names
a subclass of ``Config``        a mapping with its settings
``T | None``                    T, or no value
``Literal["a", "b"]``           one of these texts
``T | Literal[False]``          T, or false
``Any``                         whatever YAML can say
``Annotated[T, kind]``          what that object of a class of the caller's reads
==============================  ==========================================================
"""

from __future__ import annotations

import sys
import types
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from cnn_perception.settings.errors import SettingError, nearest, shown

if TYPE_CHECKING:
    from cnn_perception.settings.declaration import Setting

__all__ = ["Kind", "Line", "Text", "kind_of"]

Text = Annotated[str, "text"]
"""A text that is not empty; white space around it does not count."""

Line = Annotated[str, "line"]
"""A text that is not empty, on one line, whatever white space it was written with."""

_LARGEST = sys.float_info.max


class Kind(ABC):
    """What values a setting takes."""

    wanted = "another value"
    """What to give, for errors."""
    nullable = False
    """Whether a key without a value means the default; for others it is a mistake."""

    @abstractmethod
    def read(self, value: Any, folder: Path | None) -> Any:
        """Return a value as the annotation says; `folder` is what paths are relative to.

        A value that is one already comes back as it is. Raises SettingError.
        """

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of what `read` takes."""

    def misfit(self, value: Any) -> SettingError:
        """Return the error about a value of another kind."""
        return SettingError("", f"= {shown(value)}: give {self.wanted}")


def kind_of(annotation: Any, setting: Setting) -> Kind:
    """Return the kind of an annotation, with the limits of its setting where they make sense.

    These are minimum and maximum of numbers, choices of texts, and keys of the innermost mapping.
    Raises TypeError for an annotation that settings cannot have.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if isinstance(arguments[1], Kind):
            return arguments[1]
        return _Text(setting.choices, arguments[1])
    if origin in (Union, types.UnionType):
        members = tuple(each for each in arguments if each is not types.NoneType)
        return _Union(
            tuple(kind_of(each, setting) for each in members), len(members) < len(arguments)
        )
    if origin is tuple:
        return _List(
            tuple(kind_of(each, setting) for each in arguments if each is not Ellipsis),
            Ellipsis not in arguments,
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _Mapping(kind_of(arguments[1], setting), setting.keys)
    if origin is Literal:
        if arguments == (False,):
            return _Plain("false", arguments, const=False)
        return _Text(arguments, "")
    if annotation is Any:
        return _ANYTHING
    if annotation in (int, float):
        return _Number(annotation is int, setting.minimum, setting.maximum)
    if annotation is bool:
        return _Plain("true or false", (True, False), type="boolean")
    if annotation is str:
        return _Text(setting.choices, "")
    if annotation is Path:
        return _File()
    made = getattr(annotation, "as_kind", None)
    if made is None:
        raise TypeError(f"a setting cannot be of type {annotation!r}")
    kind: Kind = made()
    return kind


class _Plain(Kind):
    """One of a few values, or anything."""

    def __init__(self, wanted: str, allowed: tuple[Any, ...] | None, **schema: Any) -> None:
        self.wanted, self.allowed, self._schema = wanted, allowed, schema

    def read(self, value: Any, folder: Path | None) -> Any:
        if self.allowed is not None and not any(value is each for each in self.allowed):
            raise self.misfit(value)
        return value

    def schema(self) -> dict[str, Any]:
        return dict(self._schema)


_ANYTHING = _Plain("anything", None)


class _Number(Kind):
    def __init__(self, whole: bool, minimum: float | None, maximum: float | None) -> None:
        self.whole, self.minimum, self.maximum = whole, minimum, maximum
        free = -float("inf") if whole else -_LARGEST
        self.low = free if minimum is None else minimum
        self.high = -free if maximum is None else maximum
        self.type = int if whole else float
        self.wanted = self._wanted()

    def read(self, value: Any, folder: Path | None) -> float:
        number: float = value
        if type(value) is not self.type:
            if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
                raise self.misfit(value)
            if self.whole or abs(value) <= _LARGEST:  # else too large for a float, maybe
                number = self.type(value)
        if not self.low <= number <= self.high:  # which NaN is not
            raise self.misfit(value)
        return number

    def _wanted(self) -> str:
        """Return: a whole number, 1 to 8; a number from 0 to 1; a number, 0 or more."""
        least, most = self.minimum, self.maximum
        text = str if self.whole else "{:g}".format
        noun, comma = ("a whole number,", "") if self.whole else ("a number", " from")
        if least is not None and most is not None:
            return f"{noun}{comma} {text(least)} to {text(most)}"
        if least is None and most is None:
            return noun.rstrip(",")
        bound = f"{text(least)} or more" if least is not None else f"{text(most)} or less"
        return f"{noun.rstrip(',')}, {bound}"

    def schema(self) -> dict[str, Any]:
        bounds = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": "integer" if self.whole else "number"} | {
            name: limit for name, limit in bounds.items() if limit is not None
        }


class _Text(Kind):
    wanted = "a text, in quotes"

    def __init__(self, choices: tuple[str, ...] | None, form: str) -> None:
        self.choices, self.form = choices, form
        self.nullable = bool(form)

    def read(self, value: Any, folder: Path | None) -> str:
        if not isinstance(value, str) or (self.form and not value.strip()):
            raise self.misfit(value)
        text: str = value
        if self.form:
            text = " ".join(text.split()) if self.form == "line" else text.strip()
        if self.choices is not None and text not in self.choices:
            hint = nearest(text, self.choices, f"choose one of {', '.join(self.choices)}")
            raise SettingError("", f"= {shown(text)}: {hint}")
        return text

    def schema(self) -> dict[str, Any]:
        if self.choices is not None:
            return {"enum": list(self.choices)}
        return {"type": "string", "pattern": r"\S"} if self.form else {"type": "string"}


class _File(Kind):
    wanted = "the name of a file, in quotes"

    def read(self, value: Any, folder: Path | None) -> Path:
        if isinstance(value, Path):
            return value
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise self.misfit(value)
        try:
            path = Path(value.strip()).expanduser()
        except RuntimeError as error:  # no such user
            raise SettingError("", f"= {shown(value)}: {error}") from error
        return path if folder is None else folder / path

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"\S"}


class _List(Kind):
    wanted = "a list"
    nullable = True

    def __init__(self, entries: tuple[Kind, ...], fixed: bool) -> None:
        self.entries, self.fixed = entries, fixed
        first = entries[0]
        self.distinct = not fixed and isinstance(first, _Text) and bool(first.form)

    def read(self, value: Any, folder: Path | None) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise self.misfit(value)
        if self.fixed and len(value) != len(self.entries):
            noun = "numbers" if isinstance(self.entries[0], _Number) else "values"
            raise SettingError("", f"= {shown(value)}: give {len(self.entries)} {noun}")
        kinds = self.entries if self.fixed else self.entries * len(value)
        read: list[Any] = []
        for index, (kind, each) in enumerate(zip(kinds, value, strict=True)):
            try:
                one = kind.read(each, folder)
            except SettingError as error:
                raise error.below(f"[{index}]") from error
            if self.distinct and one in read:
                raise SettingError(f"[{index}]", f"= {shown(each)} is given twice: remove one")
            read.append(one)
        if self.distinct and not read:
            raise SettingError("", "is empty: give at least one")
        return tuple(read)

    def schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array", "items": self.entries[0].schema()}
        if self.fixed:
            schema |= {"minItems": len(self.entries), "maxItems": len(self.entries)}
        return schema | ({"minItems": 1, "uniqueItems": True} if self.distinct else {})


class _Mapping(Kind):
    nullable = True

    def __init__(self, values: Kind, keys: tuple[str, ...] | None) -> None:
        self.values = values
        self.keys = None if isinstance(values, _Mapping) else keys

    def read(self, value: Any, folder: Path | None) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            keys = f"the keys {', '.join(self.keys)}" if self.keys else "a name for each"
            raise SettingError("", f"is {shown(value)}: give a mapping with {keys}")
        read = {}
        for key, each in value.items():
            if not isinstance(key, str):
                raise SettingError("", f"has the key {shown(key)}: give a text, in quotes")
            if self.keys is not None and key not in self.keys:
                raise SettingError("", f": {nearest(key, self.keys)}", "unknown key ").below(key)
            if each is None and self.values is not _ANYTHING:
                raise SettingError("", "is missing: add it", "the key ").below(key)
            try:
                read[key] = self.values.read(each, folder)
            except SettingError as error:
                raise error.below(key) from error
        return read

    def schema(self) -> dict[str, Any]:
        values = self.values.schema()
        if self.keys is None:
            return {"type": "object", "additionalProperties": values}
        properties = dict.fromkeys(self.keys, values)
        return {"type": "object", "properties": properties, "additionalProperties": False}


class _Union(Kind):
    def __init__(self, members: tuple[Kind, ...], optional: bool) -> None:
        self.members, self.optional = members, optional
        self.nullable = optional or any(member.nullable for member in members)

    def read(self, value: Any, folder: Path | None) -> Any:
        if value is None and self.optional:
            return None
        # The last one speaks for all where none takes the value: its errors are the telling ones.
        for member in self.members[:-1]:
            try:
                return member.read(value, folder)
            except SettingError:
                continue
        return self.members[-1].read(value, folder)

    def schema(self) -> dict[str, Any]:
        if len(self.members) == 1:
            return self.members[0].schema()
        return {"anyOf": [member.schema() for member in self.members]}
