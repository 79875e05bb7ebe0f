"""Targets of the named losses, checked against the model's output."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from morsescape.errors import ArgumentError


def check_targets(loss: Any, output: Any, y: Any) -> Any:
    """The targets of a named loss, in the type that it needs.

    Raises:
        ArgumentError: other shapes, labels out of range, rows that are no probabilities.
    """
    if not isinstance(output, Tensor) or not isinstance(y, Tensor):
        part, got = ("model", output) if isinstance(y, Tensor) else ("targets", y)
        raise ArgumentError(
            part, expected="one tensor, for a loss by name", got=type(got).__name__,
            cure="choose with output=, or pass a function (output, target) -> scalar",
        )  # fmt: skip
    if loss == "mse" or loss is F.mse_loss or isinstance(loss, nn.MSELoss):
        return _for_squares(output, y)
    if y.is_floating_point() and y.shape[1:] == output.shape[1:]:
        _check_probabilities(y)
        return y
    ignored = getattr(loss, "ignore_index", None) if loss != "cross_entropy" else None
    _check_labels(output, y, -100 if loss is F.cross_entropy else ignored)
    return y.long()  # labels of any integer type


def _for_squares(output: Tensor, y: Tensor) -> Tensor:
    if output.shape[1:] != y.shape[1:]:
        raise ArgumentError(
            "targets",
            expected=f"shape (N, {', '.join(map(str, output.shape[1:]))}) like the output",
            got=str(tuple(y.shape)),
            cure="reshape the targets; 'mse' does not broadcast",
        )
    if y.is_complex() or output.is_complex():
        raise ArgumentError(
            "targets", expected="real numbers, as outputs and as targets", got="complex ones",
            cure="compare their real and imaginary parts",
        )  # fmt: skip
    return y if y.is_floating_point() else y.to(output.dtype)


def _check_labels(output: Tensor, y: Tensor, ignored: int | None) -> None:
    if output.ndim < 2:
        raise ArgumentError(
            "model",
            expected="an output of shape (N, classes) for 'cross_entropy'",
            got=f"shape {tuple(output.shape)}",
            cure="flatten the output or pass your own loss function",
        )
    classes = output.shape[1]
    if y.is_floating_point() or y.is_complex():
        raise ArgumentError(
            "targets",
            expected=f"class probabilities of shape (N, {classes}) or integer labels",
            got=f"{y.dtype} of shape {tuple(y.shape)}",
            cure="y.long() turns labels into integers",
        )
    inner = output.shape[2:]
    kept = y if ignored is None else y[y != ignored]
    fits = y.shape[1:] == inner
    if not fits or (kept.numel() and not 0 <= int(kept.min()) <= int(kept.max()) < classes):
        shape = "(N,)" if not inner else f"(N, {', '.join(map(str, inner))})"
        values = f"{int(y.min())} .. {int(y.max())}" if y.numel() else "none"
        raise ArgumentError(
            "targets",
            expected=f"labels of shape {shape} in 0 .. {classes - 1}",
            got=f"shape {tuple(y.shape)}, values {values}",
            cure="check the labels and the width of the last layer",
        )


def _check_probabilities(y: Tensor) -> None:
    """The loss is convex in the logits only for weights that are not negative.

    Its shift symmetry needs a sum of one.
    """
    if bool((y < 0).any()) or not torch.allclose(y.sum(1), torch.ones_like(y[:, 0])):
        raise ArgumentError(
            "targets",
            expected="class probabilities: not negative, each row summing to 1",
            got=f"smallest {float(y.min()):g}, row sums from {float(y.sum(1).min()):g} "
            f"to {float(y.sum(1).max()):g}",
            cure="normalise the rows, or pass integer labels",
        )
