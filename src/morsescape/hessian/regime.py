"""Which route is taken at which size: the one place where it is decided."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Regime:
    """A route, and up to which size it pays.

    Attributes:
        name: of the route.
        most: variables.
        eigenpairs: whether all eigenpairs of the dense Hessian are computed wherever they help.
        dense: whether the search uses the dense Hessian; its factors if not its eigenpairs.
        signs: how signs are proved, as in `inertia`.
        loose: ‖∇f‖ to which L-BFGS goes before Newton's steps.
        renew: gradients in one metric of the Hessian, before it is worth its price again.
        between: gradients between two counts of an escape, as many as a count is worth.
    """

    name: str
    most: int
    eigenpairs: bool
    dense: bool
    signs: str
    loose: float
    renew: int
    between: int


# Up to 1,500 variables all eigenpairs cost less than they save. Up to 12,000 the dense Hessian is
# worth a factorisation, and takes about 3 GB with it.
REGIMES = (
    Regime("all eigenpairs", 1_500, True, True, "eigh", 1e-7, 60, 40),
    Regime("a factor", 12_000, False, True, "ldl", 1e-7, 100, 100),
    Regime("products", sys.maxsize, False, False, "ldl", 1e-5, 0, 300),
)
DENSE = REGIMES[0].most


def regime(dim: int) -> Regime:
    """The route for this many variables.

    Example:
        >>> [regime(dim).name for dim in (1_500, 1_501, 12_001)]
        ['all eigenpairs', 'a factor', 'products']
    """
    return next(r for r in REGIMES if dim <= r.most)
