r"""A second opinion on a computed Hessian, from what shares no code with it.

Three comparisons along a unit vector v, each between a claim and what f itself says:

    matrix · v                against    Hess L(θ) v by automatic differentiation,
    matrix · v                against    (∇L(θ + hv) - ∇L(θ - hv)) / 2h,
    v · ∇L(x), x beside θ,    against    (L(x + hv) - L(x - hv)) / 2h.

The first finds a matrix of another point, and rules of the assembly that are wrong. The second
finds derivatives that torch has wrong, the third what torch does not differentiate at all
(`detach`, an integer cast): then the matrix is not the Hessian of the f that is evaluated. The
third is made beside θ because at a critical point both sides may vanish.

Differences are never exact. A claim is refuted only where none of many lengths h agrees with it
and three successive ones agree with each other, far better than with the claim: truncation
changes a hundredfold between them, the jump of a kink tenfold, and rounding as it likes. What
neither agrees nor refutes is no opinion.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.model.differences import BESIDE, Quotients, apart_by, attempt, size_of
from morsescape.model.source import Source


@runtime_checkable
class Landscape(Protocol):
    """f(θ) = L(θ) + λ‖θ‖², with L = `source`."""

    l2: float
    dim: int
    source: Source

    def value(self, theta: Tensor) -> float:
        """f(θ)."""

    def gradient(self, theta: Tensor) -> Tensor:
        """∇f(θ)."""

    def value_and_gradient(self, theta: Tensor) -> tuple[float, Tensor]:
        """Both."""

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        """Hess f(θ) v."""

    def at_l2(self, l2: float) -> Landscape:
        """The same L with another λ."""


# The product by autograd rounds too, and nothing bounds that: so much is granted, of the radius and
# of the Frobenius norm. What is altered by more than this is found.
_LOOSE, _PRODUCT = 10.0, 1e-12


def second_opinion(f: Landscape, theta: Tensor, hessian: EnclosedMatrix) -> str:
    """What speaks against `hessian` being Hess L(θ) of f, in a sentence; "" if nothing does.

    Where all agree it costs a Hessian-vector product, three gradients and two values.

    Args:
        f: the landscape.
        theta: the point, shape (D,).
        hessian: Hess L(θ), without 2λI, as computed.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.hessian.second_opinion import second_opinion
        >>> f = ms.Objective.from_function(lambda t: t[0] ** 4, 1)
        >>> of_another_point = f.enclosed_hessian(torch.zeros(1).double())
        >>> second_opinion(f, torch.ones(1).double(), of_another_point)
        'the Hessian and automatic differentiation give products with a unit vector that differ by
        12'
    """
    loss = f.at_l2(0.0)
    v = torch.randn(f.dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    v = v / v.norm()
    claimed = hessian.matrix @ v
    by_autograd = attempt(lambda: loss.hvp(theta, v))
    granted = _LOOSE * hessian.radius
    if by_autograd is not None:
        off = float((claimed - by_autograd).norm())
        if not off <= granted + _PRODUCT * float(hessian.matrix.norm()):
            return (
                "the Hessian and automatic differentiation give products with a unit vector that "
                f"differ by {off:.3g}"
            )
    slope = Quotients(loss.gradient, theta, v)
    if (found := slope.refute(claimed, granted)) is not None:
        return (
            "the Hessian is not what differences of the gradient say: a product with a unit vector "
            f"is {float(claimed.norm()):.4g}, by differences {float(found.norm()):.4g}"
            + apart_by(claimed, found)
        )
    if by_autograd is None and hessian.estimate is None and not slope.agreed:
        return "there is nothing to compare the Hessian with: autograd has no product with it"
    beside = theta + BESIDE * size_of(theta) * v
    gradient = attempt(lambda: loss.gradient(beside))
    if gradient is None:
        return ""
    along = (gradient @ v).reshape(1)
    values = Quotients(lambda at: torch.tensor([loss.value(at)], dtype=torch.float64), beside, v)
    if (found := values.refute(along, 0.0)) is not None:
        return (
            "the gradient is not what differences of f say, so that the Hessian is not that of f: "
            f"along a unit vector it is {float(along):.4g}, by differences {float(found):.4g}"
        )
    return ""
