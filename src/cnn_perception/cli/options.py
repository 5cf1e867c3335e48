"""Command line options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Json",
    "Model",
    "Network",
    "Out",
    "Paths",
    "Provider",
    "ProviderOption",
    "Threads",
    "Weights",
]


class Provider(str, Enum):
    """Where networks run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Paths = Annotated[list[Path], typer.Argument(metavar="PATHS...", help="Pictures, videos, folders.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")]
Json = Annotated[bool, typer.Option("--json", help="Print the answers as JSON on standard output.")]
Model = Annotated[
    str, typer.Option("--model", "-m", help="Bundle: a name, a folder or a model.yaml.")
]
Network = Annotated[
    str,
    typer.Option(help="Instead of a bundle: torchvision's name of a classifier, or an SSD."),
]
Weights = Annotated[
    str,
    typer.Option(
        help="Of --network: none (random), imagenet, or a state dict. Without --network: a "
        "checkpoint of 'cnn-perception train'."
    ),
]
ProviderOption = Annotated[
    Provider,
    typer.Option("--provider", help="Where the network runs; auto takes CUDA if it works."),
]
Threads = Annotated[
    int, typer.Option(min=0, max=256, help="Threads within the network; 0 is automatic.")
]
