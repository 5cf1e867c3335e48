"""What the commands of ``cnn-perception bench`` have in common: where their result goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

__all__ = ["AsJson", "JsonFile", "tell"]

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
JsonFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Write the result as JSON into this file too."),
]


def tell(
    answer: Mapping[str, Any], out: Path | None, as_json: bool, show: Callable[[], None]
) -> None:
    """Print a result, as JSON or by `show`, and write it into a file if there is one."""
    text = json.dumps(answer, indent=1)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")
    if as_json:
        typer.echo(text)
    else:
        show()
