"""Which loss a caller's is: one of the known ones, or what its recorded program says.

The shares are compared with the whole on all samples.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morsescape.errors import ArgumentError
from morsescape.model.loss import (
    NAMES,
    AtOnce,
    CrossEntropy,
    Loss,
    LossFunction,
    MeanOf,
    MeanSquare,
    RatioOf,
)
from morsescape.model.own_copy import own_copy
from morsescape.model.samples import count, take
from morsescape.rounding.dependence import Dependence, Shadow, rows_of_samples
from morsescape.rounding.program import NotTraceable, Program, record


def own_loss(loss: Any, dtype: torch.dtype) -> Any:
    """The loss as a copy of our own, in one precision, where it is a module.

    Raises:
        ArgumentError: something that cannot be called, and no name.
    """
    if isinstance(loss, str):
        known = loss in NAMES
    else:
        known = callable(loss) and not isinstance(loss, type)
    if not known:
        raise ArgumentError(
            "loss",
            expected="'cross_entropy', 'mse' or a function (output, target) -> scalar",
            got=repr(loss),
            cure="pass one of these",
        )
    return own_copy(loss, dtype, "loss") if isinstance(loss, nn.Module) else loss


def named(loss: Any, y: Any, weights: Tensor | None) -> Loss | None:
    """The loss if it is one of the known ones, under whatever name; None if not."""
    if loss == "mse" or loss is F.mse_loss or _is_mean(loss, nn.MSELoss):
        return MeanSquare(y, weights)
    if loss == "cross_entropy":
        return CrossEntropy(y, weights)
    if loss is F.cross_entropy:
        return CrossEntropy(y, weights, ignore=-100)
    if _is_mean(loss, nn.CrossEntropyLoss):
        return CrossEntropy(
            y, weights, weight=loss.weight, ignore=loss.ignore_index, smoothing=loss.label_smoothing
        )
    return None


def is_named(loss: Any) -> bool:
    """Whether `named` knows it."""
    functions = (*NAMES, F.mse_loss, F.cross_entropy)
    same = any(loss is f or (isinstance(loss, str) and loss == f) for f in functions)
    return same or _is_mean(loss, nn.MSELoss) or _is_mean(loss, nn.CrossEntropyLoss)


def _is_mean(loss: Any, kind: Any) -> bool:
    hooked = isinstance(loss, nn.Module) and (loss._forward_hooks or loss._forward_pre_hooks)
    return bool(type(loss) is kind and not hooked and loss.reduction == "mean")


def read_off(function: LossFunction, output: Any, y: Any, few: int = 3) -> Loss:
    """What a function of the caller's is: a mean, a ratio of sums, or a function of all at once.

    Args:
        function: (output, targets) -> scalar.
        output: the model's outputs on all samples.
        y: all targets.
        few: samples on which its program is recorded.

    Raises:
        ArgumentError: it gives no scalar, or a sum where a mean is expected.
    """
    whole = _checked_value(function, output, y)
    samples = count(y)
    mean = MeanOf(function, samples)
    if samples == 1:
        return mean
    kind, step, program = _kind(function, output, y, few)
    if kind == "ratio" and program is not None:
        try:
            ratio = RatioOf(function, output, y, step, program)
            if _agrees(ratio, whole, output, y):
                return ratio
        except NotTraceable:
            pass
        return AtOnce(function)
    if kind == "unknown" or kind == "sum":
        if _agrees(mean, whole, output, y):
            return mean
        if kind == "sum" or _is_sum(function, whole, output, y):
            parts = float(whole) / samples
            raise ArgumentError(
                "loss",
                expected="the mean over the samples of one loss each",
                got=f"{float(whole):.6g} on {samples} samples whose own losses average {parts:.6g}",
                cure="return the mean (reduction='mean' in torch's losses)",
            )
    return AtOnce(function)


def _kind(function: Any, output: Any, y: Any, few: int) -> tuple[str, int, Program | None]:
    """What the program says: "sum", "ratio", "other" or, where it cannot say, "unknown"."""
    places = torch.arange(few) % count(y)
    some, targets = take(output, places), take(y, places)
    machine = Dependence(few)
    try:
        program = record(function, some, targets)
        if program.assumed:
            return "unknown", 0, None
        result = machine.run(
            program, rows_of_samples(some, few, moved=True), rows_of_samples(targets, few)
        )
    except (NotTraceable, RuntimeError, TypeError, ValueError, IndexError):
        return "unknown", 0, None
    if not isinstance(result, Shadow):
        return "unknown", 0, None
    if result.additive and result.over is not None:
        return "ratio", result.over.step, program
    if result.additive:
        return "sum", 0, program
    return ("unknown" if machine.unknown else "other"), 0, None


def _agrees(loss: Loss, whole: Tensor, output: Any, y: Any) -> bool:
    """Whether the shares of two partitions of all samples sum to the whole."""
    total = count(y)
    for size in {max(1, total // 2), max(1, min(total // 3, 4096))}:
        start, shares = 0, []
        for length in loss.sizes(size, y):
            part = slice(start, start + length)
            shares.append(loss.share(take(output, part), take(y, part)))
            start += length
        terms = torch.stack(shares)
        scale = max(float(terms.abs().sum()), abs(float(whole)))
        if not abs(float(terms.sum()) - float(whole)) <= 1e-9 * scale:
            return False
    return True


def _is_sum(function: Any, whole: Tensor, output: Any, y: Any) -> bool:
    middle = count(y) // 2
    parts = [
        function(take(output, part), take(y, part))
        for part in (slice(0, middle), slice(middle, None))
    ]
    return abs(float(sum(parts)) - float(whole)) <= 1e-9 * abs(float(whole))


def _checked_value(function: Any, output: Any, y: Any) -> Tensor:
    value = function(output, y)
    real = isinstance(value, Tensor) and value.is_floating_point()
    if not real or value.ndim != 0:
        plain = isinstance(value, Tensor)
        raise ArgumentError(
            "loss",
            expected="a scalar",
            got=f"{value.dtype} of shape {tuple(value.shape)}" if plain else type(value).__name__,
            cure="return the mean over the samples",
        )
    return value.detach()
