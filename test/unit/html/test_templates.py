"""Templates, styles and scripts lie in files of their own, and all of them are used."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from jinja2 import TemplateNotFound, UndefinedError

import cnn_perception
from cnn_perception.html.document import render

PACKAGE = Path(cnn_perception.__file__).parent
FILES = {
    path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
    for suffix in ("css", "js", "html.jinja")
    for path in PACKAGE.rglob(f"*.{suffix}")
}
MODULES = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def test_no_module_has_markup() -> None:
    markup = re.compile(r"</\w+>|<(!doctype|html|style|script)\b", re.IGNORECASE)
    for path, text in MODULES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not markup.search(node.value), f"{path}:{node.lineno} has markup"


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_used(name: str) -> None:
    users = [text for text in [*MODULES.values(), *FILES.values()] if f'"{name}"' in text]
    assert len(users) == 1 or name.startswith("html/")
    assert users


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith(".jinja")])
def test_styles_and_scripts_are_no_templates(name: str) -> None:
    # They are taken in as parts of one: jinja2 would read its own marks in them.
    assert not re.search(r"\{\{|\{%|\{#", FILES[name])
    assert "</" not in FILES[name]


def test_values_are_escaped_and_missing_ones_are_errors() -> None:
    totals = {"bags": "<b>", "passed": 0, "failed": 0, "broken": 0, "kept": 0}
    page = render(
        "replay/fleet/fleet.html.jinja", rows=(), totals={**totals, "frames_per_second": 0}
    )
    assert "<h1>&lt;b&gt; bags" in page and "<b>" not in page
    with pytest.raises(UndefinedError, match="frames_per_second"):
        render("replay/fleet/fleet.html.jinja", rows=(), totals=totals)
    with pytest.raises(TemplateNotFound):
        render("replay/fleet/nothing.html.jinja")
