"""Command line options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cnn_perception.errors import ConfigError
from cnn_perception.settings import Config, settings

__all__ = [
    "Json",
    "Model",
    "Network",
    "Out",
    "Paths",
    "Weights",
    "option",
]


def option(
    config: type[Config], name: str, *flags: str, of: str = "", repeatable: bool = False
) -> Any:
    """Return the option of a setting, as the default of a parameter of a command.

    Default, range or choices and help are the setting's. flags: where they are not to be made of
    the parameter's name; of: what the option is for, where it is not for all that the command does.
    """
    known = next(known for known in settings(config) if known.name == name)
    text = f"{known.description}."
    text = f"Of {of}: {text[0].lower()}{text[1:]}" if of else text
    default = [known.default] if repeatable else known.default
    if known.choices is None:
        return typer.Option(default, *flags, min=known.minimum, max=known.maximum, help=text)
    choices = known.choices

    def checked(value: str) -> str:
        try:
            known.check(value)
        except ConfigError as error:
            raise typer.BadParameter(str(error)) from error
        return value

    # An enumeration would have to be written by hand beside the declaration.
    return typer.Option(
        default,
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
