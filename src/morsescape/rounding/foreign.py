"""Operations that are none of torch's own, by names under which no rule is found by mistake."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

_OWN = ("aten", "prims")


class Foreign:
    """An operation of another library, which may call it `neg` or `view` like one of torch's.

    Its packet's name begins with that of the library, as in `mine::neg`.
    """

    def __init__(self, operation: Any) -> None:
        self.operation, self.namespace, self.tags = operation, operation.namespace, operation.tags
        self._overloadname = operation._overloadname
        name = f"{operation.namespace}::{operation.overloadpacket.__name__}"
        self.overloadpacket = SimpleNamespace(__name__=name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Its result."""
        return self.operation(*args, **kwargs)


@cache
def by_full_name(operation: Any) -> Any:
    """The operation; wrapped, if it is foreign."""
    return operation if operation.namespace in _OWN else Foreign(operation)
