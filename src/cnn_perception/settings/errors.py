"""What is wrong with a setting, in one line that names its key, its value and the remedy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cnn_perception.errors import ConfigError

__all__ = ["SettingError", "missing", "nearest", "shown", "unknown"]


class SettingError(ConfigError):
    """A value that a setting cannot have, or a key that there is not.

    key: the path to it, such as ``input.mean[1]``, as far as it is known where the error is found;
    whoever reads the mapping around it puts its own key in front, with `below`. text: what follows
    the key in the message; before: what precedes it.
    """

    def __init__(self, key: str, text: str, before: str = "") -> None:
        super().__init__(key, text, before)  # so that it can be pickled
        self.key, self.text, self.before = key, text, before

    def __str__(self) -> str:
        space = "" if self.text.startswith(":") else " "
        return f"{self.before}{self.key or 'the file'}{space}{self.text}"

    def below(self, key: object) -> SettingError:
        """Return the same error as seen from the mapping or list that holds it under a key."""
        plain = isinstance(key, str) and key.isprintable() and len(key) <= 60
        between = "." if self.key and not self.key.startswith("[") else ""
        return SettingError(
            f"{key if plain else shown(key)}{between}{self.key}", self.text, self.before
        )


def unknown(key: object, known: Iterable[str], what: str = "key") -> SettingError:
    """Return the error about a key that is not among the known ones."""
    return SettingError("", f": {nearest(key, known)}", f"unknown {what} ").below(key)


def missing(key: str) -> SettingError:
    """Return the error about a key that has to be given."""
    return SettingError("", "is missing: add it", "the key ").below(key)


def nearest(name: object, known: Iterable[str], otherwise: str = "known are") -> str:
    """Return ``did you mean x?`` for a name that is not known, or else all that are."""
    import difflib  # here: it is slow to load, and hardly ever needed

    names = list(known)
    near = difflib.get_close_matches(str(name), names, 1)
    return f"did you mean {near[0]}?" if near else f"{otherwise} {', '.join(names) or 'none'}"


def shown(value: Any) -> str:
    """Return a value as one short line."""
    try:
        text = repr(value)
    except ValueError:  # an integer with more digits than Python turns into text
        text = "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}..."
