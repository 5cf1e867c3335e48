"""Sections of a plan whose settings belong to several parts."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from cnn_perception.errors import ConfigError
from cnn_perception.settings import Config

__all__ = ["split_section"]


def split_section(
    section: Mapping[str, Any], own: type[Config], other: type[Config], also: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of `own`, and those of `other` with the names in `also`.

    Raises ConfigError for a name that nobody has, with the nearest of all.
    """
    mine = [field.name for field in fields(own)]
    known = [*mine, *(field.name for field in fields(other)), *also]
    for name in section:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"unknown setting network.{name}: {hint}")
    taken = {name: value for name, value in section.items() if name in mine}
    return taken, {name: value for name, value in section.items() if name not in mine}
