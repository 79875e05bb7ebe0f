"""A search never raises: what goes wrong inside it becomes a sentence of its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LONGEST = 300  # characters of an error that are passed on


def described(error: BaseException) -> str:
    """The error in one line.

    Example:
        >>> described(ValueError("no factor"))
        'ValueError: no factor'
    """
    text = " ".join(str(error).split())
    text = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Callbacks:
    """Tells what the caller's own callbacks raise, which passes, from what a search catches."""

    def __init__(self) -> None:
        self.raised: Exception | None = None

    def own(self, function: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """The same function, whose errors are remembered."""
        if function is None:
            return None

        def call(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except Exception as error:
                self.raised = error
                raise

        return call

    def caught(self, error: Exception) -> str:
        """The error in one line, unless it is the caller's: then it is raised as it was."""
        if self.raised is not None:
            raise self.raised
        return described(error)
