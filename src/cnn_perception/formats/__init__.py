"""The output formats of model.yaml: a further one is a module here with its class, no more."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from cnn_perception.formats.format import OUTPUT_FORMATS

__all__ = ["OUTPUT_FORMATS"]

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
