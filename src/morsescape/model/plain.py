"""The model as a function of real numbers: torch's calls that would stand in the way, put right.

A mode that watches torch's own calls while the model runs. What it changes is never the value in
real arithmetic:

* tensors made without a dtype, and casts to a lower precision, are in that of the landscape: f is
  the model in float64 throughout;
* functions whose derivatives torch has wrong, or not at all, are written out (see
  `rounding.written_out`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.written_out import WrittenOut, written_out

_MAKES = frozenset(
    (torch.zeros, torch.ones, torch.empty, torch.full, torch.eye, torch.linspace, torch.logspace,
     torch.arange, torch.rand, torch.randn, torch.hann_window, torch.hamming_window,
     torch.blackman_window)
)  # fmt: skip
_LOWER = (torch.float32, torch.float16, torch.bfloat16)
_NAMED_CASTS = frozenset((Tensor.float, Tensor.half, Tensor.bfloat16))


class Plain(WrittenOut):
    """Runs what the caller wrote in the precision of the landscape."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """In float64, where a lower precision is asked for, or would be taken."""
        if self.dtype == torch.float64:
            if func in _NAMED_CASTS and not args[0].is_complex():
                return args[0].double()
            args, kwargs = self._raised(func, args, dict(kwargs))
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
        with torch.autocast("cpu", enabled=False), written_out(Plain(dtype)):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
