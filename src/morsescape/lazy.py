"""Public names that are imported when they are first used: `import morsescape` takes no time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of a package (PEP 562).

    Args:
        package: its name.
        homes: by submodule, the names that the package has from there, with spaces between them;
            submodules are attributes too.

    Example:
        >>> get, names = lazily("morsescape", {"errors": "ArgumentError DataError"})
        >>> get("DataError"), get("errors").__name__, "DataError" in names()
        (<class 'morsescape.errors.DataError'>, 'morsescape.errors', True)
    """
    home = {name: module for module, names in homes.items() for name in names.split()}

    def get(name: str) -> Any:
        module = f"{package}.{home.get(name, name)}"
        try:
            value = import_module(module)
        except ModuleNotFoundError as error:
            if name in home or error.name != module:
                raise  # a dependency that is not there
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message) from None
        if name in home:
            value = getattr(value, name)
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: list(sys.modules[package].__all__)
