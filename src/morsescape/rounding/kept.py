"""Programs of one function of θ, recorded once and run at every θ.

A program is the function wherever the function takes the branches that it took when it was
recorded. Where it takes another, running the program says so (`OtherBranch`), and all are recorded
anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from morsescape.rounding.program import OfOneChunk, OtherBranch

_GROUPS = 16  # of programs that run together; the one that was used longest ago is forgotten

Result = TypeVar("Result")


class Kept:
    """What was recorded, in groups of what runs together: for one purpose and size of chunk."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Hashable, dict[Hashable, Any]] = OrderedDict()

    def get(self, group: Hashable, name: Hashable, record: Callable[[], Any]) -> Any:
        """The program of this name, recorded on first use.

        One that holds the data of a single chunk is not kept: the next chunk has other data.
        """
        if group in self._groups and name in self._groups[group]:
            self._groups.move_to_end(group)
            return self._groups[group][name]
        found = record()
        if not isinstance(found, OfOneChunk):
            self._groups.setdefault(group, {})[name] = found
            self._groups.move_to_end(group)
            if len(self._groups) > _GROUPS:
                self._groups.popitem(last=False)
        return found

    def where_it_branches(self, compute: Callable[[], Result]) -> Result:
        """`compute`, which runs these programs; once more with new ones, if θ branches otherwise.

        Raises:
            OtherBranch: the new ones do not fit either: chunks branch differently at one θ.
        """
        try:
            return compute()
        except OtherBranch:
            self._groups.clear()
        return compute()  # out here, where the error no longer holds what was computed so far
