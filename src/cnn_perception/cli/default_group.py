"""A group of commands, one of which runs where none of them is named."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["DEFAULT", "DefaultCommand", "DefaultGroup"]

DEFAULT = "default"
"""Name under which a group keeps its default command; no user types it."""


class DefaultGroup(TyperGroup):
    """``tool NAME ...`` where NAME is a command of the group; ``tool ...`` is the default one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command's name before arguments that begin with no other's."""
        if not args or args[0] not in self.commands:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


class DefaultCommand(TyperCommand):
    """The command named DEFAULT: help and errors call it by the name of its group."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """Return the context of a call, in the place of its group's."""
        if parent is not None:
            info_name, parent = parent.info_name, parent.parent
        return super().make_context(info_name, args, parent=parent, **extra)
