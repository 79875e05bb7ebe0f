"""Every name in an annotation exists: linters cannot look, for shapes are strings too."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing

import pytest

import morsescape

MODULES = [
    module.name
    for module in pkgutil.walk_packages(morsescape.__path__, "morsescape.")
    if not module.name.endswith("__main__")
]
ONLY_FOR_TYPES = {  # imported under TYPE_CHECKING
    "Client", "ConnectResult", "IndexResult", "JsonOutput", "PaperResult", "PaperSettings",
    "PointSettings", "ReproduceResult", "ReproduceSettings", "ScatterResult", "SpectrumResult",
}  # fmt: skip


def annotated(module):
    for found in vars(module).values():
        if getattr(found, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(found):
            yield found
            yield from filter(inspect.isfunction, vars(found).values())
        elif inspect.isfunction(found):
            yield found


@pytest.mark.parametrize("name", MODULES)
def test_names_in_annotations_exist(name):
    for thing in annotated(importlib.import_module(name)):
        try:
            typing.get_type_hints(inspect.unwrap(thing))
        except NameError as missing:
            assert missing.name in ONLY_FOR_TYPES, f"{thing.__qualname__}: {missing}"  # noqa: PT017
