"""Programs of one function of θ, recorded once and run at every θ.

A program is the function wherever the function takes the branches that it took when it was
recorded. Where it takes another, running the program says so (`OtherBranch`), and all are recorded
anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from torch import Tensor
from torch.utils._pytree import tree_leaves

from morsescape.rounding.program import OfOneChunk, OtherBranch

_GROUPS = 16  # of programs that run together; the one that was used longest ago is forgotten

Result = TypeVar("Result")


class Kept:
    """What was recorded, in groups of what runs together: for one purpose and size of chunk."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Hashable, dict[Hashable, Any]] = OrderedDict()

    def get(
        self, group: Hashable, name: Hashable, record: Callable[[], Any], data: Any = None
    ) -> Any:
        """The program of this name, recorded on first use.

        Args:
            group: what it runs together with.
            name: of the program.
            record: records it.
            data: the chunk; a program that holds its numbers is kept for this very chunk alone.
        """
        own = group, _identity(data)
        for known in (group, own):
            if name in self._groups.get(known, ()):
                self._groups.move_to_end(known)
                return self._groups[known][name]
        found = record()
        known = own if isinstance(found, OfOneChunk) else group
        self._groups.setdefault(known, {})[name] = found
        self._groups.move_to_end(known)
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


def _identity(data: Any) -> Hashable:
    """Where the tensors lie in memory, and how often they were written to."""
    leaves = tree_leaves(data)
    return tuple((x.data_ptr(), x._version) for x in leaves if isinstance(x, Tensor))
