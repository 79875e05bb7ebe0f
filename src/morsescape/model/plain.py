"""The model as a function of real numbers: torch's calls that would stand in the way, put right.

A mode that watches torch's own calls while the model runs. What it changes is never the value in
real arithmetic:

* tensors made without a dtype, and casts to a lower precision, are in that of the landscape: f is
  the model in float64 throughout;
* functions whose derivatives torch has wrong, or not at all, are written out (here, and in
  `hessian.written_out`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from morsescape.rounding.written_out import WRITTEN_OUT

_MAKES = frozenset(
    (torch.zeros, torch.ones, torch.empty, torch.full, torch.eye, torch.linspace, torch.logspace,
     torch.arange, torch.rand, torch.randn, torch.hann_window, torch.hamming_window,
     torch.blackman_window)
)  # fmt: skip
_LOWER = (torch.float32, torch.float16, torch.bfloat16)
_NAMED_CASTS = frozenset((Tensor.float, Tensor.half, Tensor.bfloat16))


class Plain(TorchFunctionMode):
    """Runs what the caller wrote in the precision of the landscape."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        written = _WRITTEN_OUT.get(func) or WRITTEN_OUT.get(func)
        if written is not None:
            with self:  # what it is made of may have to be put right as well
                result = written(*args, **kwargs)
            if result is not NotImplemented:
                return result
        if self.dtype == torch.float64:
            if func in _NAMED_CASTS and not args[0].is_complex():
                return args[0].double()
            args, kwargs = self._raised(func, args, kwargs)
        return func(*args, **kwargs)

    def _raised(self, func: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A lower precision that is asked for, or that torch would take by itself, as float64."""
        if kwargs.get("dtype") in _LOWER or (
            func in _MAKES and kwargs.get("dtype") is None and _makes_floats(func, args, kwargs)
        ):
            kwargs["dtype"] = torch.float64
        elif func is torch.tensor or func is torch.as_tensor:
            kwargs.setdefault("dtype", torch.float64 if _has_floats(args[0]) else None)
        if func in (Tensor.to, Tensor.type):
            args = tuple(torch.float64 if isinstance(a, torch.dtype) and a in _LOWER else a
                         for a in args)  # fmt: skip
        return args, kwargs


def _makes_floats(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if func is torch.arange:
        return _has_floats(list(args)) or _has_floats(list(kwargs.values()))
    if func is not torch.full:
        return True
    value = kwargs.get("fill_value", args[1] if len(args) > 1 else 0.0)
    return isinstance(value, float)


def _has_floats(part: Any) -> bool:
    if isinstance(part, list | tuple):
        return any(_has_floats(p) for p in part)
    return isinstance(part, float)


@contextmanager
def plain(dtype: torch.dtype) -> Iterator[None]:
    """What the model computes in here is its value as a function of real numbers."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one kernel for a whole encoder layer
    try:
        # The fused kernels of attention have no second derivative.
        with sdpa_kernel(SDPBackend.MATH), torch.autocast("cpu", enabled=False), Plain(dtype):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


# -- written out ----------------------------------------------------------------------------------


def _embedding(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
    norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False,
) -> Any:  # fmt: skip
    """Without what changes the gradient alone: f depends on the row of padding like on others."""
    if max_norm is not None:  # the audit names it
        return NotImplemented
    return torch.ops.aten.embedding.default(weight, input)


def _raw_embedding(weight: Tensor, input: Tensor, *rest: Any, **more: Any) -> Tensor:
    return torch.ops.aten.embedding.default(weight, input)


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Any:
    """By a comparison: torch reads the largest and the smallest number to check them."""
    if num_classes < 0:
        return NotImplemented
    return (tensor.unsqueeze(-1) == torch.arange(num_classes)).long()


def _celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(x, 0) + min(0, α (e^(x/α) - 1)); torch takes 1/α in float32 for the derivatives."""
    below = torch.where(input > 0, torch.zeros_like(input), input)
    return torch.where(input > 0, input, alpha * torch.expm1(below / alpha))


_WRITTEN_OUT: dict[Any, Callable[..., Any]] = {
    F.embedding: _embedding,
    torch.embedding: _raw_embedding,
    F.one_hot: _one_hot,
    F.celu: _celu,
    torch.celu: _celu,
}
