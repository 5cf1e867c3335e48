"""The list of explanation methods: light to load, complete in the docs, and each can be called."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from cnn_perception.explain.registry import Method, Shows

GIVEN = {"network", "layer", "images", "target", "class_id", "most"}


def test_all_stands_for_what_explains_one_picture() -> None:
    names = [method.value for method in Method.of_one_picture()]
    assert len(names) == len(Method) - 4
    assert not {"all", "pca", "tsne", "maximisation"} & set(names)


def test_the_table_in_the_docs_has_every_method_of_one_picture(repository: Path) -> None:
    text = (repository / "docs" / "explain.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| !\[\]\((\S+)\) \| `(\S+)`", text, re.MULTILINE)
    assert {name for _, name in rows} == {method.value for method in Method.of_one_picture()}
    for image, _ in rows:
        assert (repository / "docs" / image).is_file()


@pytest.mark.parametrize("method", [x for x in Method if x is not Method.all])
def test_every_function_is_there_and_takes_what_is_given(method: Method) -> None:
    pytest.importorskip("torch", reason="PyTorch is an extra: [train]")
    module, _, name = method.path.rpartition(".")
    function = getattr(import_module(f"cnn_perception.offboard.explain_methods.{module}"), name)
    needed = {
        key
        for key, value in inspect.signature(function).parameters.items()
        if value.default is inspect.Parameter.empty
    }
    given = {Shows.POINTS: {"features"}, Shows.IMAGE: GIVEN | {"start"}}.get(method.shows, GIVEN)
    assert needed <= given
    assert ("layer" in needed) == (method.of_layer and method.shows is not Shows.IMAGE)
