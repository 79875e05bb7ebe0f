"""Results that are read back: what a file says is checked against the fields of their class."""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from morsescape.errors import DataError, MorsescapeError, shown

# What wrong content runs into, wherever it is taken apart.
_WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, OSError)
_VALUES = "values"  # what an error is about where there is no file
_Made = TypeVar("_Made", bound=Callable[..., Any])


def made_from(writer: str) -> Callable[[_Made], _Made]:
    """For what makes a result of the values that `writer` gave: other values are a `DataError`.

    Decorates what has an argument `path`, as `load`, whose errors name it, and what has none, as
    `from_json`. A dataclass that comes out has fields of the types that it declares.

    Example:
        >>> @made_from("count.to_json")
        ... def count_of(values):
        ...     return values["count"]
        >>> count_of({})
        Traceback (most recent call last):
            ...
        morsescape.errors.DataError: values: expected what count.to_json gave; got KeyError:
        'count'; cure: make it again
    """

    def decorate(make: _Made) -> _Made:
        names = list(inspect.signature(make).parameters)
        reads = "path" in names

        @functools.wraps(make)
        def made(*args: Any, **kwargs: Any) -> Any:
            given = dict(zip(names, args, strict=False)) | kwargs
            source = os.fspath(given["path"]) if reads else _VALUES
            expected = f"what {writer} {'wrote' if reads else 'gave'}"
            try:
                result = make(*args, **kwargs)
                got = _wrong_field(result)
                if got is None:
                    return result
                cause: Exception | None = None
            except MorsescapeError as error:
                # Of a value, in a file that is named here.
                if not reads or (isinstance(error, DataError) and error.what != _VALUES):
                    raise
                got, cause = f"{error.what}: {error.got}", error
            except _WRONG as error:
                got, cause = f"{type(error).__name__}: {error}", error
            raise DataError(source, expected=expected, got=got, cure="make it again") from cause

        return made  # type: ignore[return-value]

    return decorate


def _wrong_field(result: Any) -> str | None:
    """A field of a dataclass whose value is of another type than it declares."""
    if not is_dataclass(result) or isinstance(result, type):
        return None
    hints = _hints(type(result))
    for field in fields(result):
        value = getattr(result, field.name)
        if not _is_of(value, hints[field.name]):
            return f"{field.name} = {shown(value)}"
    return None


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type that can be told; True where it cannot."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_is_of(value, one) for one in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        every = inner[:1] * len(value) if inner[1:] == (...,) else inner
        return len(every) == len(value) and all(map(_is_of, value, every))
    if origin in (dict, Mapping):
        named = isinstance(value, Mapping)
        return named and all(_is_of(k, inner[0]) and _is_of(v, inner[1]) for k, v in value.items())
    if kind is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (str, bool, type(None)) or (isinstance(kind, type) and issubclass(kind, Enum)):
        return isinstance(value, kind)
    return not (isinstance(kind, type) and is_dataclass(kind)) or isinstance(value, kind)
