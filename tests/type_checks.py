"""The run-time type checks of the tests, at a price that a test can pay.

jaxtyping wraps each function so that the dimensions of its tensors can be compared, and binds the
arguments to the signature by name in every call: most of the time of a test that records thousands
of operations. Where no annotation is a tensor's shape there is nothing to compare, and the type
checker alone sees the same arguments, the same result and the same annotations.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import AbstractArray, TypeCheckError, config
from jaxtyping import _decorator as decorator

_with_shapes = decorator.jaxtyped


def install() -> None:
    """For every module that is imported from here on."""
    jaxtyping.jaxtyped = decorator.jaxtyped = jaxtyped  # it calls itself for methods of all kinds


def jaxtyped(fn: Any = None, *, typechecker: Any = None) -> Any:
    """As jaxtyping's, which the import hook puts before every function and class."""
    if fn is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if getattr(fn, "checked_without_shapes", False):  # an __init__ that a subclass inherits
        return fn
    plain = isinstance(fn, FunctionType) and not hasattr(fn, "__wrapped__")
    if not plain or inspect.isgeneratorfunction(fn) or hasattr(fn, "__no_type_check__"):
        return _with_shapes(fn, typechecker=typechecker)
    key = _key(fn, typechecker)
    if key in _nested:
        known = _nested[key]
        if known is None:
            return fn
        return _wrapped(fn, functools.partial(known, __beartype_func=fn))
    hints = dict(_known_hints(fn))
    if any(map(_has_shape, hints.values())):
        return _with_shapes(fn, typechecker=typechecker)
    checked = _without_shapes(fn, typechecker, hints)
    unchanged = checked.__code__ is fn.__code__  # all of its hints are Any
    if key is not None and len(hints) == len(fn.__annotations__):
        if unchanged:
            _nested[key] = None
        elif "__beartype_func" in (checked.__kwdefaults__ or {}):
            _nested[key] = checked
    if unchanged:
        return fn
    return _wrapped(fn, checked)


# The hook decorates a function in a function each time that the outer one runs. What beartype makes
# of it depends on its code and annotations alone, and takes a millisecond; which function it calls
# is an argument of what it makes.
_nested: dict[Any, Any] = {}


def _key(fn: FunctionType, typechecker: Any) -> Any:
    """What two definitions of one nested function have in common; None where they might differ."""
    hints = tuple(fn.__annotations__.items())
    plain = all(isinstance(hint, str) for _, hint in hints)
    if "<locals>" not in fn.__qualname__ or fn.__defaults__ or fn.__kwdefaults__ or not plain:
        return None
    return fn.__code__, fn.__module__, id(fn.__globals__), typechecker, hints


def _without_shapes(fn: FunctionType, typechecker: Any, hints: dict[str, Any]) -> Any:
    same = FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    same.__kwdefaults__, same.__qualname__, same.__module__ = (
        fn.__kwdefaults__, fn.__qualname__, fn.__module__,
    )  # fmt: skip
    same.__annotations__ = hints
    return typechecker(same)


def _wrapped(fn: FunctionType, checked: Callable) -> Callable:
    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if config.jaxtyping_disable:
            return fn(*args, **kwargs)
        try:
            return checked(*args, **kwargs)
        except BeartypeCallHintViolation as wrong:  # jaxtyping's is a TypeError
            raise TypeCheckError(str(wrong)) from None

    wrapped.checked_without_shapes = True
    return wrapped


def _known_hints(fn: FunctionType) -> Iterator[tuple[str, Any]]:
    """Those that can be evaluated when the function is defined; jaxtyping checks no others."""
    for name, hint in fn.__annotations__.items():
        one = FunctionType(_nothing.__code__, fn.__globals__)
        one.__annotations__ = {name: hint}
        try:
            yield from get_type_hints(one, include_extras=True).items()
        except Exception:  # a name that comes later, or is there for linters only
            continue


def _nothing() -> None: ...


def _has_shape(hint: Any) -> bool:
    if inspect.isclass(hint) and issubclass(hint, AbstractArray):
        return True
    parts = hint if isinstance(hint, list) else get_args(hint)
    return any(map(_has_shape, parts))
