"""Errors that a person can act on: what was expected, what came, and the cure."""

from __future__ import annotations

from typing import Any

_LINE = 150  # characters; a file name or a message of another library may have thousands
_LONGEST = 60  # characters of a string that an error repeats


class MorsescapeError(Exception):
    """The root of all errors that this package raises on purpose.

    The message is one line: ``what: expected …; got …; cure: …``.

    Args:
        what: the thing that is wrong, as the user knows it (an argument, a file).
        expected: what it should have been.
        got: what it was.
        cure: what the user can do about it.

    Example:
        >>> from morsescape.errors import ArgumentError
        >>> raise ArgumentError(
        ...     "labels", expected="integers in [0, 10)", got="12 at sample 7",
        ...     cure="pass classes=13 or mend the labels",
        ... )
        Traceback (most recent call last):
            ...
        morsescape.errors.ArgumentError: labels: expected integers in [0, 10); got 12 at
        sample 7; cure: pass classes=13 or mend the labels
    """

    def __init__(self, what: str, *, expected: object, got: object, cure: str) -> None:
        self.what, self.expected, self.got, self.cure = what, expected, got, cure
        message = f"{_cut(what)}: expected {expected}; got {_cut(got)}; cure: {cure}"
        # File names and messages of other libraries may bring line breaks with them.
        super().__init__(" ".join(message.split()))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments are lost by Exception's own pickling, and worker processes need it.
        return _rebuild, (type(self), self.what, str(self.expected), str(self.got), self.cure)


class ArgumentError(MorsescapeError, ValueError):
    """An argument that cannot be used; raised at once, before any work is done."""


class DataError(MorsescapeError):
    """A file or folder that is missing, damaged, or cannot be written."""


def _cut(part: object) -> str:
    """Its beginning and end, where it is too long to be read."""
    text = str(part)
    return text if len(text) <= 3 * _LINE else f"{text[: 2 * _LINE]} … {text[-_LINE:]}"


def shown(value: object) -> str:
    """A value in a few words, for `got`; never raises, never long.

    Example:
        >>> shown("adam"), shown(10**5000), shown([0] * 100), shown(DataError)
        ("'adam'", 'an integer of 16610 bits', 'a list of 100', 'the class DataError')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float | complex):
        return repr(value)
    if isinstance(value, str | bytes):
        return repr(value) if len(value) <= _LONGEST else f"{repr(value[:_LONGEST])[:-1]}…"
    if isinstance(value, list | tuple | dict | set):
        return f"{with_article(name)} of {len(value)}"
    return _shown_array(value) or with_article(name)


def _shown_array(value: Any) -> str | None:
    """Of NumPy or torch; None for anything else."""
    try:
        kind = str(value.dtype).removeprefix("torch.")
        place = f" on {value.device}" if hasattr(value, "layout") else ""
        return f"{kind} of shape {tuple(value.shape)}{place}, {with_article(type(value).__name__)}"
    except Exception:  # whatever an attribute of an unknown object does
        return None


def with_article(name: str) -> str:
    """The name of a class in a sentence.

    Example:
        >>> with_article("Objective")
        'an Objective'
    """
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def first_line(error: BaseException, longest: int = 160) -> str:
    r"""The first line of an error's message, or what kind it is where it says nothing.

    Example:
        >>> first_line(ValueError("no such place\nat line 3")), first_line(KeyError())
        ('no such place', 'KeyError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:longest]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python or torch, which has no class for it, ran out of memory.

    Example:
        >>> is_out_of_memory(RuntimeError("can't allocate memory: you tried to allocate 1 byte"))
        True
    """
    return isinstance(error, MemoryError) or "allocate" in str(error)


def _rebuild(
    kind: type[MorsescapeError], what: str, expected: str, got: str, cure: str
) -> MorsescapeError:
    return kind(what, expected=expected, got=got, cure=cure)
