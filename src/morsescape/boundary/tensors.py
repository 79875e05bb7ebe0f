"""Rules for vectors and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from morsescape.boundary.checked import Argument, Rule
from morsescape.boundary.numbers import single


def a_vector(of: str = "self", *, finite: bool = False) -> Rule:
    """A point or direction of the landscape `of`, as a fresh contiguous float64 tensor (D,).

    A float64 tensor or NumPy array, or a list or tuple of numbers. The caller's is never written
    to, whatever it is: a view, an expanded one, one that requires a gradient.

    Args:
        of: the argument that has `dim`.
        finite: refuse NaN and infinity too.
    """

    def rule(argument: Argument) -> Tensor:
        size = getattr(argument.others.get(of), "dim", 0)
        found = _float64(argument.value)
        if found is None or found.shape != (size,):
            flat = getattr(argument.value, "shape", None) == (size,)
            raise argument.refused(
                f"a float64 vector of shape ({size},) on the CPU",
                "make it float64, on the CPU" if flat
                else "start from f.theta, or flatten the parameters in the order of the model",
            )  # fmt: skip
        if finite and not bool(found.isfinite().all()):
            raise argument.refused("finite numbers", "start elsewhere")
        return found

    return rule


def _float64(value: Any) -> Tensor | None:
    """A copy; None for what is not float64, or not on the CPU."""
    if isinstance(value, Tensor):
        # Of exact type: what a subclass means by its elements only itself knows.
        plain = type(value) in (Tensor, torch.nn.Parameter) and value.layout is torch.strided
        if not (plain and value.dtype == torch.float64 and value.device.type == "cpu"):
            return None
        return torch.empty(value.shape, dtype=torch.float64).copy_(value.detach())
    if isinstance(value, list | tuple):
        return _listed(value)
    plain = isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray)
    if not (plain and value.dtype == np.float64):
        return None
    return torch.from_numpy(np.array(value, order="C"))


def _listed(values: list[Any] | tuple[Any, ...]) -> Tensor | None:
    numbers = [single(value) for value in values]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in numbers):
        return None
    try:
        exact = all(isinstance(v, float) or int(float(v)) == v for v in numbers)
    except OverflowError:
        return None
    return torch.tensor(numbers, dtype=torch.float64) if exact else None


def a_tensor(expected: str) -> Rule:
    """A dense tensor with values, no part of a graph, of a dtype and shape that the body checks.

    Not a copy, unless it was made in inference mode or is the negative or conjugate view of one.
    """

    def rule(argument: Argument) -> Tensor:
        value = argument.value
        dense = isinstance(value, Tensor) and value.layout is torch.strided
        if not dense or value.is_meta or value.is_nested:
            raise argument.refused(expected)
        lazy = value.is_inference() or value.is_neg() or value.is_conj()
        return value.detach().clone().resolve_neg().resolve_conj() if lazy else value.detach()

    return rule
