"""What differs from bag to bag: its name, and the files that a plan or expectations name by it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from cnn_perception.errors import ConfigError
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.plan import ReplayPlan

__all__ = ["PLACEHOLDER", "STORAGES", "bag_name", "bag_names", "check_golden_paths", "for_bag"]

PLACEHOLDER = "{bag}"
"""Stands for the bag's name in the paths of golden results and of a true map."""

STORAGES = (".mcap", ".db3")
"""Endings of the files in which bags are stored."""


def bag_name(bag: Path) -> str:
    """Return a bag's name: the folder's, or the file's without its ending."""
    path = bag.absolute()
    return path.stem if path.suffix in STORAGES else path.name


def bag_names(bags: Sequence[Path]) -> tuple[str, ...]:
    """Return a different name for each bag; where names clash, later ones get a number."""
    plain = [bag_name(bag) for bag in bags]
    names: list[str] = []
    for name in plain:
        unique, number = name, 1
        while unique in names or (number > 1 and unique in plain):
            number += 1
            unique = f"{name}-{number}"
        names.append(unique)
    return tuple(names)


def for_bag(
    plan: ReplayPlan, expectations: Expectations, name: str
) -> tuple[ReplayPlan, Expectations]:
    """Return plan and expectations with the bag's name in their paths, which become absolute."""
    if plan.truth is not None:
        truth = dataclasses.replace(plan.truth, map=_named(plan.truth.map, name))
        plan = dataclasses.replace(plan, truth=truth)
    return plan, dataclasses.replace(expectations, golden=_named(expectations.golden, name))


def check_golden_paths(expectations: Expectations, bags: int) -> None:
    """Raise ConfigError where the golden results of several bags would replace each other."""
    golden = expectations.golden
    if golden is None:
        raise ConfigError("nothing to update: the expectations name no golden; add 'golden: PATH'")
    if bags > 1 and PLACEHOLDER not in str(golden):
        raise ConfigError(
            f"golden = {golden}: {bags} bags would replace each other's there; write "
            f"{PLACEHOLDER!r} where the bag's name belongs, as in golden/{PLACEHOLDER}"
        )


def _named(path: Path | None, name: str) -> Path | None:
    return None if path is None else Path(str(path).replace(PLACEHOLDER, name)).absolute()
