"""Command line options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnn_perception.config import SessionConfig
from cnn_perception.errors import ConfigError
from cnn_perception.settings import Config, settings

__all__ = [
    "SESSION",
    "Json",
    "Model",
    "Network",
    "Out",
    "Paths",
    "Provider",
    "Threads",
    "Weights",
    "option",
]


SESSION = SessionConfig()


def option(config: type[Config], name: str, *flags: str) -> Any:
    """Return the option of a setting: its range or choices, and its description as the help.

    flags: such as ``--score``, where the option is not called as the setting. The default stands in
    the command's signature: that of an instance of the configuration.
    """
    known = next(known for known in settings(config) if known.name == name)
    text = f"{known.description}."
    if known.choices is None:
        return typer.Option(*flags, min=known.minimum, max=known.maximum, help=text)
    choices = known.choices

    def checked(value: str) -> str:
        try:
            known.check(value)
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from error
        return value

    # An enumeration would have to be written by hand beside the declaration.
    return typer.Option(
        *flags,
        metavar=f"[{'|'.join(choices)}]",
        help=text,
        callback=checked,
        autocompletion=lambda: list(choices),
    )


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
Provider = Annotated[str, option(SessionConfig, "provider")]
Threads = Annotated[int, option(SessionConfig, "threads")]
