"""The Hessian of a plain function, by the route of the package."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from morsescape.hessian.dense import exact_hessian
from morsescape.hessian.enclosed_matrix import EnclosedMatrix
from morsescape.model.function import Function


def function_hessian(
    fn: Callable[[Tensor], Tensor], theta: Tensor, *, bounded: bool = True
) -> EnclosedMatrix:
    """Hess fn(θ), with its radius."""
    return exact_hessian(Function(fn, len(theta)), theta, bounded=bounded)
