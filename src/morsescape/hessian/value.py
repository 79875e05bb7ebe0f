"""The Hessian of f at a point as one value: whatever is asked of it is made when it is asked for.

It holds one D×D matrix, that of Hess L, and the ridge as the number 2λ: exact zeros stay exact, and
eigenvalues are counted against -2λ.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from jaxtyping import Float64
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from morsescape.boundary import a_vector, checked
from morsescape.hessian.dense import exact_hessian
from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.hessian.gradient import gradient_error, sharp_gradient
from morsescape.hessian.second_opinion import Landscape, second_opinion
from morsescape.hessian.solver import Solver, eigenpairs, solver
from morsescape.notebook import Shown
from morsescape.progress import StageProgress
from morsescape.rounding.floats import U, up

Result = TypeVar("Result")
More = ParamSpec("More")


def once(
    compute: Callable[Concatenate[Hessian, More], Result],
) -> Callable[Concatenate[Hessian, More], Result]:
    """A function of a Hessian whose result is kept with it, whatever else it is called with."""

    @functools.wraps(compute)
    def kept(hessian: Hessian, *args: More.args, **kwargs: More.kwargs) -> Result:
        if compute.__qualname__ not in hessian.made:
            hessian.made[compute.__qualname__] = compute(hessian, *args, **kwargs)
        found: Result = hessian.made[compute.__qualname__]
        return found

    return kept


class Hessian(Shown):
    """Hess f(θ), the ridge 2λI included: made by `f.hessian_at(theta)`.

    Nothing is computed before it is asked for, and nothing twice. What it gives is not to be
    written to, but for `dense()`, a copy.

    Attributes:
        f: the landscape.
        theta: the point, shape (D,).
        dim: D.
        bounded: whether the distance from the true one is proved, where it can be.
        made: what was computed so far, by the name of the function.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: t[0] ** 2 * t[1], 2, l2=0.5)
        >>> H = f.hessian_at([1.0, 3.0])
        >>> H.dense()
        tensor([[7., 2.],
                [2., 1.]], dtype=torch.float64)
        >>> H.radius < 1e-14, H.estimate
        (True, None)
        >>> ms.inertia(H).negative, ms.certify(H).status.name
        ((0, 0), 'UNDECIDED')
    """

    def __init__(self, f: Landscape, theta: Float64[Tensor, "D"], *, bounded: bool = True) -> None:
        self.f, self.theta, self.dim, self.bounded = f, theta, f.dim, bounded
        self.made: dict[str, Any] = {}

    def _shown(self) -> dict[str, object]:
        return {"Hessian of": str(self.f), "variables": f"{self.dim:,}",
                "computed so far": ", ".join(self.made) or "nothing"}  # fmt: skip

    def __repr__(self) -> str:
        return f"Hessian(of {self.f}, at theta=<{self.dim:,} numbers>)"

    # -- the matrix -----------------------------------------------------------------------------

    @once
    def enclose(self, progress: StageProgress | None = None) -> EnclosedMatrix:
        """Hess L(θ), without 2λI, with its distance from the true one.

        Args:
            progress: called as progress(samples done, samples) while it is computed.
        """
        return exact_hessian(self.f.source, self.theta, bounded=self.bounded, progress=progress)

    def release(self) -> EnclosedMatrix:
        """What `enclose` gives, to be written to; asked again, this value computes another."""
        found = self.enclose()
        del self.made["Hessian.enclose"]
        return found

    @property
    @once
    def radius(self) -> float:
        """A bound on ‖dense() - Hess f(θ)‖, the rounding of the ridge included."""
        enclosed = self.enclose()
        if not self.f.l2:
            return enclosed.radius
        rounding = U * float((enclosed.matrix.diagonal() + 2 * self.f.l2).abs().max())
        return up(enclosed.radius + rounding)

    @property
    def estimate(self) -> str | None:
        """Why the radius is an estimate and no bound; None if it is proved."""
        return self.enclose().estimate or self.doubt or None

    @property
    @once
    def doubt(self) -> str:
        """What a second opinion has against it, "" if nothing (see `hessian.second_opinion`)."""
        return second_opinion(self.f, self.theta, self.enclose()) if self.finite else ""

    @property
    def kinks(self) -> int:
        """Branch decisions of f (ReLU, max) within rounding of their threshold."""
        return self.enclose().kinks

    @property
    @once
    def finite(self) -> bool:
        """Whether all entries are finite."""
        return self.enclose().finite

    @property
    @once
    def norm(self) -> float:
        """The Frobenius norm."""
        matrix, ridge = self.enclose().matrix, 2 * self.f.l2
        size = float(matrix.norm())
        if size == 0:
            return ridge * self.dim**0.5
        more = ridge * (2 * float(matrix.trace()) + ridge * self.dim)  # to the sum of squares
        return size * max(0.0, 1 + more / size / size) ** 0.5

    @checked(v=a_vector())
    def mv(self, v: Float64[Tensor, "D"]) -> Float64[Tensor, "D"]:
        """H v."""
        return self.mm(v[:, None])[:, 0]

    def mm(self, vectors: Float64[Tensor, "D k"]) -> Float64[Tensor, "D k"]:
        """H V."""
        return self.enclose().matrix @ vectors + 2 * self.f.l2 * vectors

    def dense(self) -> Float64[Tensor, "D D"]:
        """The matrix, a copy."""
        matrix = self.enclose().matrix.clone()
        matrix.diagonal().add_(2 * self.f.l2)
        return matrix

    def to_scipy(self) -> LinearOperator:
        """As a `LinearOperator`, for `scipy.sparse.linalg`."""

        def product(v: np.ndarray) -> np.ndarray:
            columns = torch.from_numpy(np.ascontiguousarray(v, dtype=np.float64))
            return self.mm(columns.view(self.dim, -1)).numpy()

        shape = (self.dim, self.dim)
        return LinearOperator(shape, product, product, product, np.float64, product)

    # -- made of it -----------------------------------------------------------------------------

    def core(self) -> tuple[Tensor, Tensor | None]:
        """Hess L without the rows that are exactly zero, and which are kept; None for all."""
        enclosed = self.enclose()
        if enclosed.untouched is None or not bool(enclosed.untouched.any()):
            return enclosed.matrix, None
        kept = (~enclosed.untouched).nonzero().squeeze(1)
        return enclosed.matrix[kept[:, None], kept], kept

    @once
    def core_eigh(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues, ascending, and eigenvectors of the core."""
        return eigenpairs(self.core()[0])

    @once
    def eigh(self) -> tuple[Float64[Tensor, "D"], Float64[Tensor, "D D"]]:
        """Eigenvalues, ascending, and orthonormal eigenvectors as columns, as LAPACK has them."""
        (values, vectors), (_, kept) = self.core_eigh(), self.core()
        if kept is not None:
            zero = torch.ones(self.dim, dtype=torch.bool)
            zero[kept] = False
            whole = vectors.new_zeros(self.dim, self.dim)
            whole[kept, : len(kept)] = vectors
            whole[zero.nonzero().squeeze(1), torch.arange(len(kept), self.dim)] = 1.0
            values = torch.cat([values, values.new_zeros(self.dim - len(kept))])
            values, order = values.sort()
            vectors = whole[:, order]
        return values + 2 * self.f.l2, vectors

    @once
    def factor(self) -> Solver | None:
        """Its symmetric factorisation, for solving with it; None if it is singular."""
        return solver(self.dense())

    # -- f beside it ----------------------------------------------------------------------------

    @property
    def value(self) -> float:
        """f(θ)."""
        return self.value_and_gradient()[0]

    @property
    def gradient(self) -> Float64[Tensor, "D"]:
        """∇f(θ), as good as it is known."""
        return self.enclosed_gradient()[0]

    @once
    def value_and_gradient(self) -> tuple[float, Float64[Tensor, "D"]]:
        """f(θ) and ∇f(θ) in float64."""
        return self.f.value_and_gradient(self.theta)

    @once
    def enclosed_gradient(self) -> tuple[Float64[Tensor, "D"], float | None]:
        """∇f(θ), rounded from twice the precision where that is known, and what it is off by.

        The second is a bound on the distance from the true one; None if none is proved.
        """
        value, plain = self.value_and_gradient()
        if not math.isfinite(value):
            return plain, None
        self.enclose()  # sees to it that the programs that are kept are still those of f
        at = self.f.source, self.theta, self.f.l2
        return sharp_gradient(*at) or (plain, gradient_error(*at, plain))
