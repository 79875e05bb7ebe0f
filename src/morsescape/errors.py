"""Errors that a person can act on: what was expected, what came, and the cure."""

from __future__ import annotations


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
        message = f"{what}: expected {expected}; got {got}; cure: {cure}"
        # File names and messages of other libraries may bring line breaks with them.
        super().__init__(" ".join(message.split()))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword arguments are lost by Exception's own pickling, and worker processes need it.
        return _rebuild, (type(self), self.what, str(self.expected), str(self.got), self.cure)


class ArgumentError(MorsescapeError, ValueError):
    """An argument that cannot be used; raised at once, before any work is done."""


class DataError(MorsescapeError):
    """A file or folder that is missing, damaged, or cannot be written."""


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
