"""What torch's losses are, as formulas: `loss_value(loss, output, target)` over all samples.

A target of floats is an object array of exact numbers, of integers a plain one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from . import exact as X
from .activations import log_softmax
from .definitions import mean

Array = np.ndarray
LOSSES: dict[type[nn.Module], Callable[[Any, Array, Array], Any]] = {}


def loss_value(loss: Any, output: Any, target: Any) -> Any:
    """The loss of the whole data set as one number.

    Raises:
        NoTruth: it has no definition here.
    """
    if loss in ("cross_entropy", nn.functional.cross_entropy):
        loss = nn.CrossEntropyLoss()
    if loss in ("mse", nn.functional.mse_loss):
        loss = nn.MSELoss()
    if hasattr(loss, "exact"):
        return loss.exact(output, target)
    if type(loss) not in LOSSES:
        raise X.NoTruth(f"no definition of {type(loss).__name__}")
    return LOSSES[type(loss)](loss, output, target)


def _register(*kinds: type[nn.Module]) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        for kind in kinds:
            LOSSES[kind] = function
        return function

    return register


def _reduced(m: Any, parts: Any, count: int | None = None) -> Any:
    parts = list(np.asarray(parts, dtype=object).reshape(-1))
    if m.reduction == "sum":
        return X.total(parts)
    return X.total(parts) * (X.number(1) / (len(parts) if count is None else count))


def _pairs(function: Callable[[Any, Any], Any]) -> Callable[[Any, Array, Array], Any]:
    """An elementwise loss of output and target, reduced over all elements."""
    return lambda m, x, y: _reduced(m, X.elementwise(function)(x, y))


@_register(nn.CrossEntropyLoss)
def _cross_entropy(m: Any, x: Array, y: Array) -> Any:
    """(N, C, …): Σ w_y ℓ / Σ w_y over what is not ignored; smoothing mixes in the uniform one."""
    flat = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    classes = flat.shape[1]
    weight = [X.number(1)] * classes if m.weight is None else list(X.array(m.weight.double()))
    smooth = X.number(m.label_smoothing)
    logs = [log_softmax(list(line)) for line in flat]
    if y.dtype == object:  # probabilities
        goal = np.moveaxis(y, 1, -1).reshape(-1, classes)
        parts = [
            -X.total([
                w * (p * (1 - smooth) + smooth / classes) * v
                for w, p, v in zip(weight, row, line, strict=True)
            ])
            for row, line in zip(goal, logs, strict=True)
        ]  # fmt: skip
        return _reduced(m, parts)
    parts, total = [], X.number(0)
    for label, line in zip(y.reshape(-1).tolist(), logs, strict=True):
        if label == m.ignore_index:
            continue
        own = -weight[label] * line[label]
        spread = -X.total([w * v for w, v in zip(weight, line, strict=True)])
        parts.append(own * (1 - smooth) + spread * smooth * (X.number(1) / classes))
        total = total + weight[label]
    if m.reduction == "sum":
        return X.total(parts)
    if total.is_zero():
        raise X.NoTruth("a mean over nothing")
    return X.total(parts) * (1 / total)


@_register(nn.NLLLoss)
def _nll(m: Any, x: Array, y: Array) -> Any:
    flat = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1])
    weight = [X.number(1)] * flat.shape[1] if m.weight is None else list(X.array(m.weight.double()))
    kept = [(k, label) for k, label in enumerate(y.reshape(-1).tolist()) if label != m.ignore_index]
    total = X.total([weight[label] for _, label in kept]).v
    parts = X.total([-weight[label] * flat[k, label] for k, label in kept])
    return parts if m.reduction == "sum" else parts * (1 / total)


LOSSES[nn.MSELoss] = _pairs(lambda x, y: (x - y) * (x - y))
LOSSES[nn.L1Loss] = _pairs(lambda x, y: X.absolute(x - y))


@_register(nn.HuberLoss)
def _huber(m: Any, x: Array, y: Array) -> Any:
    d = X.number(m.delta)
    return _pairs(
        lambda x, y: X.pieces(
            x - y, "huber",
            lambda e: -d * (e + d / 2), -d, lambda e: e * e / 2, d, lambda e: d * (e - d / 2),
        )
    )(m, x, y)  # fmt: skip


@_register(nn.SmoothL1Loss)
def _smooth_l1(m: Any, x: Array, y: Array) -> Any:
    b = X.number(m.beta)
    if b.is_zero():
        return LOSSES[nn.L1Loss](m, x, y)
    return _pairs(
        lambda x, y: X.pieces(
            x - y, "smooth_l1",
            lambda e: -e - b / 2, -b, lambda e: e * e / (2 * b), b, lambda e: e - b / 2,
        )
    )(m, x, y)  # fmt: skip


@_register(nn.BCEWithLogitsLoss)
def _bce_logits(m: Any, x: Array, y: Array) -> Any:
    one = X.array(torch.ones(1, dtype=torch.float64))
    weight = one if m.weight is None else X.array(m.weight.double())
    positive = one if m.pos_weight is None else X.array(m.pos_weight.double())

    def part(x: Any, y: Any, w: Any, p: Any) -> Any:
        x = X.jet(x)
        return w * (p * y * X.softplus(-x) + (1 - y) * X.softplus(x))

    return _reduced(m, X.elementwise(part)(x, y, weight, positive))


def _bounded_log(p: Any) -> Any:
    """log p, at least -100 as torch has it."""
    floor = X.exp(X.jet(-100)).v
    return X.pieces(p, "bce", lambda p: X.jet(-100), floor, X.log)


LOSSES[nn.BCELoss] = _pairs(
    lambda p, y: -(y * _bounded_log(p) + (1 - y) * _bounded_log(1 - X.jet(p)))
)
LOSSES[nn.SoftMarginLoss] = _pairs(lambda x, y: X.softplus(X.jet(-y * x)))
LOSSES[nn.HingeEmbeddingLoss] = lambda m, x, y: _pairs(
    lambda x, y: X.jet(x) if y > 0 else X.largest([0, m.margin - X.jet(x)], "clamp")
)(m, x, y)


@_register(nn.PoissonNLLLoss)
def _poisson(m: Any, x: Array, y: Array) -> Any:
    eps = X.number(m.eps)
    if m.log_input:
        return _pairs(lambda x, y: X.exp(x) - y * x)(m, x, y)
    return _pairs(lambda x, y: x - y * X.log(x + eps))(m, x, y)


@_register(nn.KLDivLoss)
def _divergence(m: Any, x: Array, y: Array) -> Any:
    def part(x: Any, y: Any) -> Any:
        if m.log_target:
            return X.exp(X.jet(y)).v * (y - x)
        return X.jet(0) if y.is_zero() else y * (y.log() - x)

    parts = X.elementwise(part)(x, y)
    return _reduced(m, parts, len(x)) if m.reduction == "batchmean" else _reduced(m, parts)


@_register(nn.GaussianNLLLoss)
def _gaussian(m: Any, x: Any, y: Array) -> Any:
    """½ (log v + (x - y)²/v), v at least eps; output is (mean, variance) side by side."""
    raise X.NoTruth("its variance is an argument: see GaussianNLL among the models")


@_register(nn.MultiMarginLoss)
def _multi_margin(m: Any, x: Array, y: Array) -> Any:
    parts = []
    for row, label in zip(x, y.tolist(), strict=True):
        gaps = [
            X.largest([0, m.margin - row[label] + v], "clamp")
            for k, v in enumerate(row) if k != label
        ]  # fmt: skip
        parts.append(X.total([X.power(g, m.p) for g in gaps]) * (X.number(1) / len(row)))
    return _reduced(m, parts)


@_register(nn.MultiLabelSoftMarginLoss)
def _multi_label(m: Any, x: Array, y: Array) -> Any:
    def part(x: Any, y: Any) -> Any:
        return y * X.softplus(-X.jet(x)) + (1 - y) * X.softplus(X.jet(x))

    return _reduced(m, [mean(list(row)) for row in X.elementwise(part)(x, y)])
