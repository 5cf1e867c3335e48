"""Every reason that the code gives is documented, and every documented one is given."""

from __future__ import annotations

import ast
from pathlib import Path

from cnn_perception.messages import DROP_REASONS


def _reasons(path: Path) -> set[str]:
    """Literals that are the first argument of MessageError, name a count of dropped items, are the
    `reason` of an exception, or what a component's `admit` returns."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in ("MessageError", "drop", "_drop", "forget_until", "forget_from"):
                found |= {
                    part.value
                    for arg in node.args[: 2 if name.startswith("forget") else 1]
                    for part in ast.walk(arg)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
        elif isinstance(node, ast.FunctionDef) and node.name in ("admit", "drop_reason"):
            returned = (part.value for part in ast.walk(node) if isinstance(part, ast.Return))
            for value in returned:
                ends = (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,)
                found |= {str(x.value) for x in ends if isinstance(x, ast.Constant) and x.value}
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            if any(isinstance(to, ast.Name) and to.id == "reason" for to in node.targets):
                found.add(str(node.value.value))
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            target = node.value
            if isinstance(target, ast.Attribute) and target.attr == "dropped":
                found.add(str(node.slice.value))
    return found


def test_reasons_are_those_documented(repository: Path) -> None:
    sources = (repository / "src" / "cnn_perception").rglob("*.py")
    given = set().union(*(_reasons(path) for path in sources))
    assert given == set(DROP_REASONS)


def test_reasons_are_slugs_in_order() -> None:
    assert list(DROP_REASONS) == sorted(DROP_REASONS)
    assert all(slug.replace("_", "").isalpha() and slug.islower() for slug in DROP_REASONS)
