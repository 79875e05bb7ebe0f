"""Rules for names, and for several values."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from morsescape.boundary.checked import Argument, Rule
from morsescape.errors import ArgumentError


def choice(known: Iterable[str], *, cure: str = "choose one of these names") -> Rule:
    """One of some names; `cure` is what to do with another one."""
    names = tuple(known)

    def rule(argument: Argument) -> str:
        if not (isinstance(argument.value, str) and argument.value in names):
            raise argument.refused(" | ".join(names), cure)
        return argument.value

    return rule


def choices(known: Iterable[str], *, least: int = 0) -> Rule:
    """At least so many of some names, each once, as a tuple."""
    names = tuple(known)
    one = choice(names)

    def rule(argument: Argument) -> tuple[str, ...]:
        given = argument.value
        if not isinstance(given, list | tuple):
            raise argument.refused(f"a tuple of names, of {' | '.join(names)}")
        for value in given:
            one(replace(argument, value=value))
        if len(given) < least:
            raise argument.refused(" | ".join(names), "choose one of these names")
        if len(set(given)) < len(given):
            raise ArgumentError(
                argument.name, expected="each name once", got=" ".join(given), cure="drop one"
            )
        return tuple(given)

    return rule


def named(name: str, rule: Rule) -> Rule:
    """The rule, with another name of the argument in errors."""
    return lambda argument: rule(replace(argument, name=name))


def a_text(expected: str = "a string") -> Rule:
    """A string that is not empty."""

    def rule(argument: Argument) -> str:
        if not (isinstance(argument.value, str) and argument.value):
            raise argument.refused(expected)
        return argument.value

    return rule


def a_path() -> Rule:
    """The name of a file or folder, as text; whether it can be used shows when it is.

    A string or a path, not empty, without the zero byte that no name has.
    """

    def rule(argument: Argument) -> str:
        value = argument.value
        try:
            name = os.fspath(value)
        except TypeError:
            name = None
        if not (isinstance(name, str) and name and "\0" not in name):
            raise argument.refused(
                "the name of a file or folder, a string or a pathlib.Path",
                "decode it, os.fsdecode(...)" if isinstance(name, bytes) else None,
            )
        return name

    return rule


def each(rule: Rule, expected: str) -> Rule:
    """Several values, each by the rule, as a tuple."""

    def every(argument: Argument) -> tuple[Any, ...]:
        if not isinstance(argument.value, list | tuple | range):
            raise argument.refused(expected)
        items = enumerate(argument.value)
        name, default = argument.name, inspect.Parameter.empty
        return tuple(rule(Argument(f"{name}[{i}]", v, default, {})) for i, v in items)

    return every


def pair(rule: Rule, expected: str) -> Rule:
    """Two values, each by the rule, as a tuple."""
    several = each(rule, expected)

    def both(argument: Argument) -> tuple[Any, Any]:
        found = several(argument)
        if len(found) != 2:
            raise argument.refused(expected)
        return found

    return both
