"""The published networks that can be pulled, from models/catalog.yaml."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from cnn_perception.errors import ModelError
from cnn_perception.resources import share_directory
from cnn_perception.runtime.section import Section, read_yaml

__all__ = ["Published", "find_published", "read_catalog"]

_TASKS = ("detection", "segmentation", "classification")
_GROUP_KEYS = ("task", "licence", "measured_on", "figure", "url", "networks")
_KEYS = ("weights", "file", "megabytes", "figure", "sha256")


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
    found: dict[str, Published] = {}
    for group in Section(file, "", read_yaml(file), ("groups",)).sections("groups", _GROUP_KEYS):
        networks = group.value("networks")
        names = tuple(networks) if isinstance(networks, dict) else ()
        section = group.section("networks", names)
        for name in names:
            found[name] = _published(name, group, section.section(name, _KEYS))
    return found


def find_published(name: str, file: Path | None = None) -> Published:
    """Return the network of that name; raises ModelError where there is none."""
    catalog = read_catalog(file)
    if name in catalog:
        return catalog[name]
    near = difflib.get_close_matches(name, catalog, 1)
    hint = f"did you mean {near[0]}?" if near else "see 'cnn-perception models list --available'"
    raise ModelError(f"no published network named {name!r} is known: {hint}")


def _published(name: str, group: Section, section: Section) -> Published:
    """Return one network; torchvision's file names end in the first digits of the sha256."""
    file_name = section.text("file")
    return Published(
        name=name,
        task=group.text("task", _TASKS),
        licence=group.line("licence"),
        url=group.text("url") + file_name,
        sha256=section.text("sha256")
        if "sha256" in section
        else Path(file_name).stem.rpartition("-")[2],
        megabytes=section.number("megabytes", 0.0),
        figure=section.number("figure", 0.0, 1.0),
        figure_name=group.text("figure"),
        measured_on=group.line("measured_on"),
        weights=section.text("weights") if "weights" in section else "",
    )
