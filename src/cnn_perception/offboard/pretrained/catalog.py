"""The published networks that can be pulled, from models/catalog.yaml."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cnn_perception.errors import ModelError
from cnn_perception.resources import share_directory
from cnn_perception.settings import REQUIRED, Config, Line, Text, setting
from cnn_perception.settings.files import load

__all__ = ["Published", "find_published", "read_catalog"]


@dataclass(frozen=True, slots=True)
class _NetworkEntry(Config):
    """A network of a group of the catalog."""

    file: Text = setting(REQUIRED, "Last part of the address")
    megabytes: float = setting(REQUIRED, "Size of the download", minimum=0.0)
    figure: float = setting(REQUIRED, "What its authors measured", between=(0.0, 1.0))
    weights: Text = setting("", "Member of torchvision's enumeration of weights")
    sha256: Text | None = setting(
        None, "Its first digits or all of them; without it, those at the end of the file's name"
    )


@dataclass(frozen=True, slots=True)
class _GroupEntry(Config):
    """Networks of one task from one place."""

    task: str = setting(
        REQUIRED, "What they do", choices=("detection", "segmentation", "classification")
    )
    licence: Line = setting(REQUIRED, "Under which terms they may be used")
    measured_on: Line = setting(REQUIRED, "Which data the figures are from")
    figure: Text = setting(REQUIRED, "How the figures are called")
    url: Text = setting(REQUIRED, "First part of the addresses")
    networks: Mapping[str, _NetworkEntry] = setting(REQUIRED, "The networks by name")


@dataclass(frozen=True, slots=True)
class _Catalog(Config):
    groups: tuple[_GroupEntry, ...] = setting((), "Networks that can be pulled")


@dataclass(frozen=True, slots=True)
class Published:
    """A network and where its weights lie.

    name: of the bundle, and of torchvision's builder where `weights`, the member of its enumeration
    of weights, is not empty; otherwise the file is an ONNX file that a shipped bundle describes.
    sha256: its first digits or all of them. megabytes: of the download. figure, figure_name,
    measured_on: what its authors measured, 0 to 1, how it is called, and on which data.
    """

    name: str
    task: str
    licence: str
    url: str
    sha256: str
    megabytes: float
    figure: float
    figure_name: str
    measured_on: str
    weights: str = ""

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


def read_catalog(file: Path | None = None) -> dict[str, Published]:
    """Return all networks by name, in the order of the file.

    file: another one than the shipped. Raises ModelError for a file that cannot be used.
    """
    file = share_directory() / "models" / "catalog.yaml" if file is None else file
    return {
        name: Published(
            name=name,
            task=group.task,
            licence=group.licence,
            url=group.url + entry.file,
            sha256=entry.sha256 or Path(entry.file).stem.rpartition("-")[2],
            megabytes=entry.megabytes,
            figure=entry.figure,
            figure_name=group.figure,
            measured_on=group.measured_on,
            weights=entry.weights,
        )
        for group in load(file, _Catalog, ModelError).groups
        for name, entry in group.networks.items()
    }


def find_published(name: str, file: Path | None = None) -> Published:
    """Return the network of that name; raises ModelError where there is none."""
    catalog = read_catalog(file)
    if name in catalog:
        return catalog[name]
    near = difflib.get_close_matches(name, catalog, 1)
    hint = f"did you mean {near[0]}?" if near else "see 'cnn-perception models list --available'"
    raise ModelError(f"no published network named {name!r} is known: {hint}")
