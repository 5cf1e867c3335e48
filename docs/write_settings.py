"""Write what is made from the declarations of settings: JSON schemas, and tables of the manual:

    python docs/write_settings.py

The schemas are config/schema/*.schema.json, for editors of model.yaml, replay plans, expectations
and training plans; the tables are those of parameters in docs/nodes.md and of settings in
docs/training.md. A test proves that nothing has been forgotten.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cnn_perception.offboard.training.data_config import DataConfig
from cnn_perception.offboard.training.optimisation import OptimisationConfig
from cnn_perception.offboard.training.plan import TrainingPlan
from cnn_perception.replay.expectations.schema import Expectations
from cnn_perception.replay.plan import NODES, plan_file
from cnn_perception.runtime.bundle import BundleFile
from cnn_perception.settings import Config, NodeConfig, Setting, settings

ROOT = Path(__file__).resolve().parents[1]
FILES: Mapping[str, tuple[str, type[Config]]] = {
    "model": ("Model bundle of cnn_perception (model.yaml)", BundleFile),
    "replay_plan": ("Replay plan of cnn_perception", plan_file()),
    "expectations": ("Expectations of a replay of cnn_perception", Expectations),
    "training_plan": ("Training plan of cnn_perception", TrainingPlan),
}


def schema(title: str, config: type[Config]) -> str:
    """Return the JSON schema of a YAML file, as the text of a file."""
    tree = {"$schema": "http://json-schema.org/draft-07/schema#", "title": title}
    tree |= config.as_kind().schema
    if config is plan_file():
        # Installed components have sections, too; what is in them is not known here.
        tree["additionalProperties"] = {"type": ["object", "string", "boolean", "null"]}
    return json.dumps(tree, indent=1, ensure_ascii=False) + "\n"


def shown(value: Any, number: str = "") -> str:
    """Return a default as YAML has it, in a table's cell."""
    if isinstance(value, tuple):
        value = list(value)
    elif isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float):
        value = format(value, number)
    return f"`{value}`" if value != "" else ""


def parameter_rows(parameters: Mapping[str, Setting]) -> list[str]:
    """Return the rows of a table of ROS parameters."""
    rows = ["| parameter | default | range | live | meaning |", "|---|---|---|---|---|"]
    for name, known in parameters.items():
        limits = ", ".join(known.choices or ())
        if known.minimum is not None and known.minimum > -sys.float_info.max:
            limits = f"{known.minimum:g} ... {known.maximum:g}"
        live = "yes" if known.live else ""
        meaning = re.sub(r"<\w+>[\w/]*", r"`\g<0>`", known.description)
        rows.append(f"| `{name}` | {shown(known.default)} | {limits} | {live} | {meaning} |")
    return rows


def setting_rows(sections: Mapping[str, type[Config]]) -> list[str]:
    """Return the rows of a table of a plan's settings."""
    rows = ["| setting | default | |", "|---|---|---|"]
    for section, config in sections.items():
        for known in settings(config):
            default = shown(known.default, "g")
            rows.append(f"| `{section}.{known.name}` | {default} | {known.description} |")
    return rows


def with_table(text: str, rows: Iterable[str]) -> str:
    """Return a text whose first table with the same head is replaced."""
    head, *rest = rows
    before, found, after = text.partition(f"{head}\n")
    if not found:
        raise ValueError(f"no table {head}")
    lines = after.split("\n")
    end = next(index for index, line in enumerate(lines) if not line.startswith("|"))
    return before + "\n".join([head, *rest, *lines[end:]])


def written() -> dict[Path, str]:
    """Return the text of every file that is made from declarations, wholly or in part."""
    texts = {
        ROOT / "config" / "schema" / f"{name}.schema.json": schema(title, config)
        for name, (title, config) in FILES.items()
    }
    common = {known.name: known for known in settings(NodeConfig)}
    file = ROOT / "docs" / "nodes.md"
    chapters = file.read_text(encoding="utf-8").split("\n## ")
    for index, chapter in enumerate(chapters):
        title = chapter.partition("\n")[0]
        known = common if title == "What every node has" else None
        if title in NODES:
            every = NODES[title].settings()
            known = {name: each for name, each in every.items() if name not in common}
        if known is not None:
            chapters[index] = with_table(chapter, parameter_rows(known))
    texts[file] = "\n## ".join(chapters)
    file = ROOT / "docs" / "training.md"
    rows = setting_rows({"data": DataConfig, "optimisation": OptimisationConfig})
    texts[file] = with_table(file.read_text(encoding="utf-8"), rows)
    return texts


if __name__ == "__main__":
    for path, text in written().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
