"""Which components there are: the package's own, and those that other packages bring."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from cnn_perception.components.component import Component
from cnn_perception.errors import ConfigError
from cnn_perception.messages import DROP_REASONS
from cnn_perception.settings import nearest

__all__ = ["GROUP", "OWN", "component_kind", "component_kinds", "drop_reasons"]

GROUP = "cnn_perception.components"
"""The group of entry points by which packages name their components."""

OWN = ("detector", "segmenter", "explainer", "mapper")
"""The package's own components, in the order in which one feeds another."""


def component_kinds() -> tuple[str, ...]:
    """Return the names of all components that are installed, the package's own first."""
    return (*OWN, *_others())


def component_kind(name: str) -> type[Component]:
    """Return a component by its name. Raises ConfigError for one that is not there or none."""
    if name in OWN:
        module = import_module(f"cnn_perception.components.{name}")
        kind: type[Component] = getattr(module, f"{name.capitalize()}Component")
        return kind
    others = _others()
    if name not in others:
        hint = nearest(name, component_kinds(), "there are")
        raise ConfigError(
            f"no component {name!r} is installed: {hint}; packages name theirs as entry points of "
            f"{GROUP}"
        )
    try:
        found = others[name].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"the component {name} = {others[name].value} cannot be loaded: {error}"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Component)):
        raise ConfigError(f"{name} = {others[name].value} is no subclass of Component: name one")
    return found


def drop_reasons() -> tuple[str, ...]:
    """Return every reason under which a component may drop a message; broken ones add none."""
    reasons = dict.fromkeys(DROP_REASONS)
    for name in _others():
        with suppress(ConfigError):
            reasons |= dict.fromkeys(component_kind(name).drop_reasons)
    return tuple(reasons)


def _others() -> Mapping[str, EntryPoint]:
    return {each.name: each for each in entry_points(group=GROUP) if each.name not in OWN}
