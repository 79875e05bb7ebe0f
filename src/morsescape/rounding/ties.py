"""Ties in max-pooling that are kinks, told apart from entries that are one function of θ.

At a tie torch takes the first of the largest entries. Where the others are the same function of θ
(patches of one colour, units that are zero) nothing depends on the choice, and such ties are the
rule. Where they are not, f is the larger of two functions and not differentiable. A step apart,
equal functions are still equal and others are not: then another entry wins, one that was as large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_STEP = 1e-6  # of the size of theta
_EQUAL = 1e-12  # of the largest entry: within rounding
_DIRECTIONS = 2

_POOLS: dict[Any, Callable[..., tuple[Tensor, Tensor]]] = {
    F.max_pool1d: F.max_pool1d_with_indices,
    F.max_pool2d: F.max_pool2d_with_indices,
    F.max_pool3d: F.max_pool3d_with_indices,
    torch.max_pool1d: F.max_pool1d_with_indices,
    torch.max_pool2d: F.max_pool2d_with_indices,
    torch.max_pool3d: F.max_pool3d_with_indices,
    F.max_pool1d_with_indices: F.max_pool1d_with_indices,
    F.max_pool2d_with_indices: F.max_pool2d_with_indices,
    F.max_pool3d_with_indices: F.max_pool3d_with_indices,
    F.adaptive_max_pool1d: F.adaptive_max_pool1d_with_indices,
    F.adaptive_max_pool2d: F.adaptive_max_pool2d_with_indices,
    F.adaptive_max_pool3d: F.adaptive_max_pool3d_with_indices,
    F.adaptive_max_pool1d_with_indices: F.adaptive_max_pool1d_with_indices,
    F.adaptive_max_pool2d_with_indices: F.adaptive_max_pool2d_with_indices,
    F.adaptive_max_pool3d_with_indices: F.adaptive_max_pool3d_with_indices,
}
_SPATIAL = {"1d": 1, "2d": 2, "3d": 3}


class _Pools(TorchFunctionMode):
    """Keeps what every pooling takes, and which entries it chooses."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[Tensor, Tensor]] = []  # entries and places, the window's last

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _POOLS:
            spatial = next(k for name, k in _SPATIAL.items() if name in _POOLS[func].__name__)
            own = {k: v for k, v in kwargs.items() if k != "return_indices"}
            _, places = _POOLS[func](*args, **own)
            x: Tensor = args[0] if args else kwargs["input"]
            self.found.append((x.detach().flatten(-spatial), places.flatten(-spatial)))
        return func(*args, **kwargs)


def pooling_ties(losses: Iterable[Callable[[Tensor], Tensor]], theta: Tensor) -> int:
    """How many windows have two largest entries that are different functions of θ."""
    generator = torch.Generator().manual_seed(0)
    size = max(float(theta.norm()) / max(len(theta), 1) ** 0.5, 1.0)
    steps = torch.randn(_DIRECTIONS, len(theta), generator=generator, dtype=torch.float64)
    steps = torch.cat([steps, -steps]).to(theta.dtype) * (_STEP * size)
    count = 0
    for loss in losses:
        here = _chosen(loss, theta)
        if not here:
            return 0  # no part pools if one does not
        others = [_chosen(loss, theta + step) for step in steps]
        for k, (entries, places) in enumerate(here):
            count += int(_parted(entries, places, [other[k] for other in others]).sum())
    return count


def _chosen(loss: Callable[[Tensor], Tensor], theta: Tensor) -> list[tuple[Tensor, Tensor]]:
    with _Pools() as pools:  # with autograd on: the model may differentiate inside
        loss(theta)
    return pools.found


def _parted(entries: Tensor, places: Tensor, others: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Windows in which an entry as large as the one taken wins a step apart."""
    largest = entries.abs().amax().clamp_min(1e-300)
    taken = entries.gather(-1, places)
    parted = torch.zeros_like(places, dtype=torch.bool)
    for moved, winners in others:
        as_large = (taken - entries.gather(-1, winners)).abs() <= _EQUAL * largest
        ahead = moved.gather(-1, winners) - moved.gather(-1, places) > _EQUAL * largest
        parted |= (winners != places) & as_large & ahead
    return parted
