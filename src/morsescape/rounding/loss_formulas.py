"""What losses of torch's are written out by (see `written_out`)."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from morsescape.rounding.formulas import formula_for


def _reduced(loss: Tensor, reduction: str) -> Any:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    return loss if reduction == "none" else NotImplemented


@formula_for(F.huber_loss)
def _huber(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Any:
    if weight is not None or not delta > 0 or input.shape != target.shape:
        return NotImplemented
    off = input - target
    near = off.clamp(-delta, delta)
    return _reduced(near * (off - 0.5 * near), reduction)


@formula_for(F.soft_margin_loss)
def _soft_margin(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    if size_average is not None or reduce is not None:
        return NotImplemented
    return _reduced(F.softplus(-target * input, threshold=math.inf), reduction)


@formula_for(F.multi_margin_loss)
def _multi_margin(
    input: Tensor, target: Tensor, p: int = 1, margin: float = 1.0, weight: Any = None,
    size_average: Any = None, reduce: Any = None, reduction: str = "mean",
) -> Any:  # fmt: skip
    if size_average is not None or reduce is not None or input.ndim != 2 or p not in (1, 2):
        return NotImplemented
    off = (margin - input.gather(1, target[:, None]) + input).clamp_min(0.0)
    loss = off if p == 1 else off * off
    if weight is not None:
        loss = loss * weight[target][:, None]
    others = torch.ones_like(loss).scatter(1, target[:, None], 0.0)
    return _reduced((loss * others).sum(1) / input.shape[1], reduction)


@formula_for(F.gaussian_nll_loss)
def _gaussian_nll(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """With the variance clamped where gradients see it; its sign is looked at by torch itself."""
    if not isinstance(var, Tensor) or var.ndim not in (input.ndim, input.ndim - 1):
        return NotImplemented
    if var.ndim < input.ndim:
        var = var.unsqueeze(-1)
    if any(v not in (1, n) for v, n in zip(var.shape, input.shape, strict=True)):
        return NotImplemented
    var = var.clamp_min(eps)
    loss = 0.5 * (var.log() + (input - target) ** 2 / var)
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@formula_for(F.binary_cross_entropy)
def _binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    """By logarithms; torch adds 1e-12 in its second derivative."""
    if size_average is not None or reduce is not None or input.shape != target.shape:
        return NotImplemented
    loss = -target * input.log().clamp_min(-100.0)
    loss = loss - (1 - target) * torch.log1p(-input).clamp_min(-100.0)
    return _reduced(loss if weight is None else loss * weight, reduction)


@formula_for(F.binary_cross_entropy_with_logits)
def _bce_with_logits(
    input: Tensor, target: Tensor, weight: Any = None, size_average: Any = None, reduce: Any = None,
    reduction: str = "mean", pos_weight: Any = None,
) -> Any:  # fmt: skip
    """By softplus, which has no kink; torch's formula has one at 0 that cancels."""
    if size_average is not None or reduce is not None or input.shape != target.shape:
        return NotImplemented
    soft = F.softplus(-input, threshold=math.inf)
    factor = 1.0 if pos_weight is None else 1 + (pos_weight - 1) * target
    loss = (1 - target) * input + factor * soft
    return _reduced(loss if weight is None else loss * weight, reduction)
