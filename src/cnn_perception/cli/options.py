"""Command line options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Json", "Out", "Paths", "Provider", "ProviderOption", "Threads"]


class Provider(str, Enum):
    """Where networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Paths = Annotated[list[Path], typer.Argument(metavar="PATHS...", help="Pictures, videos, folders.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answers as JSON on standard output.")]
ProviderOption = Annotated[
    Provider,
    typer.Option("--provider", help="Where the network runs; auto takes CUDA if it works."),
]
Threads = Annotated[
    int, typer.Option(min=0, max=256, help="Threads within the network; 0 is automatic.")
]
