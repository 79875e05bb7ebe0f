"""A computed symmetric matrix and its distance from the true one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.hessian.patterns import Pattern

STRIP = 512  # rows looked at together


@dataclass(frozen=True)
class EnclosedMatrix:
    """A computed Hess L(θ), and what is known about its distance from the true one."""

    matrix: Tensor  # (D, D)
    radius: float  # bounds the spectral norm of computed minus true
    radius_parts: dict[str, float]
    estimate: str | None = None  # why the radius is an estimate, not a bound; None: it is proved
    kinks: int = 0  # branch decisions of the model within rounding of their threshold
    untouched: Tensor | None = None  # (D,) True where row and column are exactly zero
    # (D,) s: -diag(s) <= computed - true <= diag(s) in the order of symmetric matrices.
    spread: Tensor | None = None
    patterns: dict[str, Pattern] = field(default_factory=dict)  # by weight

    @property
    def finite(self) -> bool:
        """Whether all entries are finite; strip by strip, for a mask would be as large."""
        return all(bool(rows.isfinite().all()) for rows in self.matrix.split(STRIP))

    def doubted(self, doubts: tuple[str, ...]) -> EnclosedMatrix:
        """The same as an estimate, where f uses what autograd may not differentiate."""
        if not doubts or self.estimate is not None:
            return self
        why = f"what autograd differentiates need not be f: {', '.join(doubts)}"
        return replace(self, estimate=why)


def symmetric_part(matrix: Tensor, radius: Tensor | None = None, what: str = "model") -> Tensor:
    """(M + Mᵀ) / 2, nearer to the truth, which is symmetric.

    Args:
        matrix: the second derivatives that torch gives.
        radius: entrywise bounds on their rounding; without, what rounding may do is guessed.
        what: what to call it in the message.

    Raises:
        ArgumentError: M is not symmetric beyond rounding, so that some derivative is wrong.
    """
    if radius is None:
        allowed = matrix.new_tensor(1e-7 if matrix.dtype == torch.float64 else 1e-2)
        allowed = allowed * matrix.abs().max() if matrix.numel() else allowed
    else:
        allowed = radius + radius.t()
    off = (matrix - matrix.t()).abs()
    if bool((off > allowed).any()):
        raise ArgumentError(
            what,
            expected="second derivatives that do not depend on their order",
            got=f"second derivatives up to {float(matrix.abs().max()):.3g} that differ by "
            f"{float(off.max()):.3g} from those in the other order",
            cure="some operation has a wrong second derivative in torch: write it out in others",
        )
    return (matrix + matrix.t()) / 2
