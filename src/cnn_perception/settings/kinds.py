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
``Literal[False] | T``          false, or T
``Any``                         whatever YAML can say
``Annotated[T, kind]``          what that object of a class of the caller's reads
==============================  ==========================================================
"""

from __future__ import annotations

import sys
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from cnn_perception.settings.errors import SettingError, missing, nearest, shown, unknown

if TYPE_CHECKING:
    from cnn_perception.settings.declaration import Setting

__all__ = ["Kind", "Line", "Text", "kind_of"]

Text = Annotated[str, "text"]
"""A text that is not empty; white space around it does not count."""

Line = Annotated[str, "line"]
"""A text that is not empty, on one line, whatever white space it was written with."""

_LARGEST = sys.float_info.max


class Kind(ABC):
    """What values a setting takes.

    schema: the JSON schema of what `read` takes; wanted: what to give instead of something else;
    nullable: whether a key without a value means the default, which is a mistake otherwise.
    """

    schema: Mapping[str, Any]
    wanted = "another value"
    nullable = False

    @abstractmethod
    def read(self, value: Any, folder: Path | None) -> Any:
        """Return a value as the annotation says; `folder` is what paths are relative to.

        A value that is one already comes back as it is. Raises SettingError.
        """

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
        own = arguments[1]
        return own if isinstance(own, Kind) else _Text(setting.choices, own)
    if origin is Literal and arguments != (False,):
        return _Text(arguments, "")
    if origin in (Union, types.UnionType):
        return _Union([kind_of(x, setting) for x in arguments if x is not types.NoneType])
    if origin is tuple:
        entries = [kind_of(x, setting) for x in arguments if x is not Ellipsis]
        return _List(entries, Ellipsis not in arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _Mapping(kind_of(arguments[1], setting), setting.keys)
    simple: dict[Any, Callable[[], Kind]] = {
        Any: lambda: _ANYTHING,
        Literal[False]: lambda: _Plain("false", (False,), const=False),
        bool: lambda: _Plain("true or false", (True, False), type="boolean"),
        int: lambda: _Number(int, setting.minimum, setting.maximum),
        float: lambda: _Number(float, setting.minimum, setting.maximum),
        str: lambda: _Text(setting.choices, ""),
        Path: _File,
    }
    made = simple.get(annotation) or getattr(annotation, "as_kind", None)
    if made is None:
        raise TypeError(f"a setting cannot be of type {annotation!r}")
    return made()


class _Plain(Kind):
    """One of a few values, or anything."""

    def __init__(self, wanted: str, allowed: tuple[Any, ...] | None, **schema: Any) -> None:
        self.wanted, self.allowed, self.schema = wanted, allowed, schema

    def read(self, value: Any, folder: Path | None) -> Any:
        if self.allowed is not None and not any(value is each for each in self.allowed):
            raise self.misfit(value)
        return value


_ANYTHING = _Plain("anything", None)


class _Number(Kind):
    def __init__(
        self, type: type[int] | type[float], least: float | None, most: float | None
    ) -> None:
        self.type, whole = type, type is int
        free = float("inf") if whole else _LARGEST
        self.low, self.high = -free if least is None else least, free if most is None else most
        self.schema = {"type": "integer" if whole else "number"}
        self.schema |= {"minimum": least} if least is not None else {}
        self.schema |= {"maximum": most} if most is not None else {}
        text = str if whole else "{:g}".format
        self.wanted = "a whole number" if whole else "a number"
        if least is not None and most is not None:
            self.wanted += f"{',' if whole else ' from'} {text(least)} to {text(most)}"
        elif least is not None or most is not None:
            bound = f"{text(most)} or less" if least is None else f"{text(least)} or more"
            self.wanted += f", {bound}"

    def read(self, value: Any, folder: Path | None) -> float:
        number: float = value
        if type(value) is not self.type:
            if isinstance(value, bool) or not isinstance(value, int | self.type):
                raise self.misfit(value)
            if self.type is int or abs(value) <= _LARGEST:  # else too large for a float, maybe
                number = self.type(value)
        if not self.low <= number <= self.high:  # which NaN is not
            raise self.misfit(value)
        return number


class _Text(Kind):
    wanted = "a text, in quotes"

    def __init__(self, choices: tuple[str, ...] | None, form: str) -> None:
        self.choices, self.form, self.nullable = choices, form, bool(form)
        self.schema = {"type": "string", "pattern": r"\S"} if form else {"type": "string"}
        if choices is not None:
            self.schema = {"enum": list(choices)}

    def read(self, value: Any, folder: Path | None) -> Any:
        if not isinstance(value, str) or (self.form and not value.strip()):
            raise self.misfit(value)
        text = " ".join(value.split()) if self.form == "line" else value
        text = text.strip() if self.form else text
        if self.choices is not None and text not in self.choices:
            hint = nearest(text, self.choices, "choose one of")
            raise SettingError("", f"= {shown(text)}: {hint}")
        return text


class _File(_Text):
    wanted = "the name of a file, in quotes"

    def __init__(self) -> None:
        super().__init__(None, "text")

    def read(self, value: Any, folder: Path | None) -> Any:
        if isinstance(value, Path):
            return value
        name = super().read(value, folder)
        if "\0" in name:
            raise self.misfit(value)
        try:
            path = Path(name).expanduser()
            path.exists()
        except (RuntimeError, OSError) as error:  # no such user; a name that no file can have
            raise SettingError("", f"= {shown(value)}: {error}") from error
        return path if folder is None else folder / path


class _List(Kind):
    wanted = "a list"
    nullable = True

    def __init__(self, entries: Sequence[Kind], fixed: bool) -> None:
        self.entries, self.fixed, first = entries, fixed, entries[0]
        self.distinct = not fixed and isinstance(first, _Text) and bool(first.form)
        self.schema = {"type": "array", "items": first.schema}
        if fixed:
            self.schema |= {"minItems": len(entries), "maxItems": len(entries)}
        elif self.distinct:
            self.schema |= {"minItems": 1, "uniqueItems": True}

    def read(self, value: Any, folder: Path | None) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise self.misfit(value)
        if self.fixed and len(value) != len(self.entries):
            noun = "numbers" if isinstance(self.entries[0], _Number) else "values"
            raise SettingError("", f"= {shown(value)}: give {len(self.entries)} {noun}")
        read: list[Any] = []
        for index, (kind, each) in enumerate(zip(cycle(self.entries), value, strict=False)):
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


class _Mapping(Kind):
    nullable = True

    def __init__(self, values: Kind, keys: tuple[str, ...] | None) -> None:
        self.values, self.keys = values, None if isinstance(values, _Mapping) else keys
        self.schema = {"type": "object", "additionalProperties": values.schema}
        if self.keys is not None:
            properties = dict.fromkeys(self.keys, values.schema)
            self.schema |= {"properties": properties, "additionalProperties": False}

    def read(self, value: Any, folder: Path | None) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            keys = f"the keys {', '.join(self.keys)}" if self.keys else "a name for each"
            raise SettingError("", f"is {shown(value)}: give a mapping with {keys}")
        read = {}
        for key, each in value.items():
            if self.keys is not None and key not in self.keys:
                raise unknown(key, self.keys)
            if each is None and self.values is not _ANYTHING:
                raise missing(key)
            try:
                if not isinstance(key, str):
                    raise SettingError("", "is a key that is no text: put it in quotes")
                read[key] = self.values.read(each, folder)
            except SettingError as error:
                raise error.below(key) from error
        return read


class _Union(Kind):
    nullable = True

    def __init__(self, members: Sequence[Kind]) -> None:
        self.members = members
        self.schema = {"anyOf": [member.schema for member in members]}
        if len(members) == 1:
            self.schema = members[0].schema

    def read(self, value: Any, folder: Path | None) -> Any:
        if value is None:
            return None
        # The last one speaks for all where none takes the value: its errors are the telling ones.
        for member in self.members[:-1]:
            with suppress(SettingError):
                return member.read(value, folder)
        return self.members[-1].read(value, folder)
