"""The user's own model: a function in a file that returns an Objective."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from morsescape.errors import ArgumentError, DataError, MorsescapeError
from morsescape.objective import Objective
from morsescape.paths.spanning import landscape_identity

_WHAT = "--objective"


def split_address(address: str) -> tuple[Path, str]:
    """The file and the function of FILE.py:FUNCTION.

    Raises:
        ArgumentError: the address has another form.

    Example:
        >>> split_address("mine/model.py:trained")[1]
        'trained'
    """
    file, _, function = address.rpartition(":")
    if not file.endswith(".py") or not function.isidentifier():
        raise ArgumentError(
            _WHAT,
            expected="FILE.py:FUNCTION",
            got=repr(address),
            cure="name a Python file and a function in it that returns an Objective",
        )
    return Path(file), function


def takes_seed(address: str) -> bool:
    """Whether the function has a parameter named `seed`, so that several runs make sense."""
    with _running(address) as function:
        return "seed" in inspect.signature(function).parameters


def call_objective(address: str, seed: int) -> Objective:
    """Run FUNCTION, with `seed=seed` if it has such a parameter.

    Raises:
        DataError: no such file or function, an error inside it, or a result that is no Objective.
    """
    with _running(address) as function:
        named = "seed" in inspect.signature(function).parameters
        result = function(seed=seed) if named else function()
        if not isinstance(result, Objective):
            raise DataError(
                f"{_WHAT} {address}",
                expected="a function that returns a morsescape.Objective",
                got=type(result).__name__,
                cure="end it in `return ms.Objective(model, loss, (x, y))`",
            )
    return result


@contextmanager
def _running(address: str) -> Iterator[Callable[..., Any]]:
    """The function, with its folder on the path as in `python FILE.py`; its errors in one line."""
    file, name = split_address(address)
    if not file.is_file():
        raise DataError(
            f"{_WHAT} {address}", expected="a Python file", got=f"no file {file}", cure="check it"
        )
    folder = str(file.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield _function(address, file, name)
    except MorsescapeError:
        raise
    except (Exception, SystemExit) as error:
        raise DataError(
            f"{_WHAT} {address}",
            expected="a function that runs",
            got=f"{type(error).__name__}: {error}{_line(error, file)}",
            cure="mend the function; call it by itself first",
        ) from error
    finally:
        sys.path.remove(folder)


def _function(address: str, file: Path, name: str) -> Callable[..., Any]:
    tree = ast.parse(file.read_bytes(), str(file))
    nodes = list(ast.walk(tree))
    named = {getattr(x, field, None) for x in nodes for field in ("id", "name", "asname")}
    if name not in named and "*" not in named:  # then it need not run to say so
        there = [x.name for x in tree.body if isinstance(x, ast.FunctionDef)]
        raise _missing(address, file, name, there)
    module_name = f"morsescape_objective_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise _missing(address, file, name, there)
    return function


def _missing(address: str, file: Path, name: str, there: list[str]) -> DataError:
    return DataError(
        f"{_WHAT} {address}",
        expected=f"a function {name} in {file}",
        got=f"the functions {', '.join(there) or '(none)'}",
        cure="check the name",
    )


def _line(error: BaseException, file: Path) -> str:
    """Where in the user's file it happened."""
    traceback, line = error.__traceback__, None
    while traceback is not None:
        if Path(traceback.tb_frame.f_code.co_filename).name == file.name:
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return "" if line is None else f" (line {line})"


def check_one_landscape(f: Objective, other: Objective, seed: int) -> None:
    """Refuse a function whose f depends on the seed: a point of one is none of another.

    Told by the number of variables, the ridge and the values at two points.

    Raises:
        ArgumentError: they differ.
    """
    if str(landscape_identity(f)) != str(landscape_identity(other)):  # NaN is NaN in words
        raise ArgumentError(
            "--objective",
            expected="one f for every seed: the same network, loss, data and statistics",
            got=f"another f for seed {seed}",
            cure="draw the data with a seed of their own, and let `seed` choose parameters alone",
        )
