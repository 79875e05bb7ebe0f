"""The decorator that checks arguments by rules, and what a rule is."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar

from morsescape.boundary.plain_torch import plain_torch
from morsescape.errors import ArgumentError, shown


@dataclass(frozen=True)
class Argument:
    """A value that came in: as `name`, where `default` would be taken, beside `others`."""

    name: str
    value: Any
    default: Any
    others: Mapping[str, Any]

    def refused(self, expected: str, cure: str | None = None) -> ArgumentError:
        """The error that says so; the cure, if none is given, is the default."""
        return ArgumentError(
            self.name, expected=expected, got=shown(self.value), cure=cure or self._default()
        )

    def _default(self) -> str:
        if self.default is inspect.Parameter.empty:
            return "pass such a value"
        plain = isinstance(self.default, bool | int | float | str)
        return f"leave it out to take {self.default!r}" if plain else "leave it out"


@dataclass(frozen=True)
class Lasting:
    """What a rule gives for a value that lasts as long as the call: it is entered and left."""

    of: AbstractContextManager[Any]


Rule = Callable[[Argument], Any]
_Called = TypeVar("_Called", bound=Callable[..., Any])


def checked(spell: Callable[[str], str] = str, **rules: Rule) -> Callable[[_Called], _Called]:
    """Check arguments by name, on a function, a method, or a class with its `__init__`.

    Args:
        spell: what an argument is called in errors.
        rules: by the name of the argument.

    Example:
        >>> from morsescape.boundary import a_count
        >>> @checked(samples=a_count(1))
        ... def first(samples=None):
        ...     return samples
        >>> first(3), first()
        (3, None)
        >>> first("3")
        Traceback (most recent call last):
            ...
        morsescape.errors.ArgumentError: samples: expected 1 or more, an integer; got '3'; cure:
        leave it out
    """

    def decorate(called: _Called) -> _Called:
        if not isinstance(called, type):
            return _guarded(called, spell, rules)
        called.__init__ = _guarded(called.__init__, spell, rules)  # type: ignore[misc]
        return called

    return decorate


def option(name: str) -> str:
    """The option of the command line that an argument is: what `spell` takes for settings.

    Example:
        >>> option("max_steps")
        '--max-steps'
    """
    return "--" + name.replace("_", "-")


@contextmanager
def spelt(spell: Callable[[str], str]) -> Iterator[None]:
    """What is wrong inside is called as `spell` has it: the user of a setting knows its option."""
    try:
        yield
    except ArgumentError as error:
        raise ArgumentError(
            spell(error.what), expected=error.expected, got=error.got, cure=error.cure
        ) from error


def _guarded(function: _Called, spell: Callable[[str], str], rules: Mapping[str, Rule]) -> _Called:
    defaults = {p.name: p.default for p in inspect.signature(function).parameters.values()}
    names = tuple(defaults)
    rules = {name: rules[name] for name in names if name in rules} | dict(rules)  # in their order
    unknown = rules.keys() - defaults.keys()
    if unknown:
        raise TypeError(f"{function.__qualname__} has no argument {', '.join(sorted(unknown))}")

    def through(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with plain_torch(), ExitStack() as lasting:
            if len(args) > len(names):
                return function(*args, **kwargs)  # Python says that there are too many
            given = dict(zip(names, args, strict=False)) | kwargs
            for name, rule in rules.items():
                if name in given and given[name] is not defaults[name]:
                    argument = Argument(spell(name), given[name], defaults[name], given)
                    value = rule(argument)
                    if isinstance(value, Lasting):
                        value = lasting.enter_context(value.of)
                    given[name] = value
            kept = {name: given[name] for name in kwargs}
            return function(*(given[name] for name in names[: len(args)]), **kept)

    # With the globals of what it wraps: who reads its annotations looks names up there.
    call = lambda *args, **kwargs: through(args, kwargs)  # noqa: E731
    at_home = FunctionType(call.__code__, function.__globals__, closure=call.__closure__)
    return functools.wraps(function)(at_home)  # type: ignore[return-value]
