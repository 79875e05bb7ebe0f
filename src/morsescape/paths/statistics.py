"""Running statistics of batch normalisation along a curve, and data of the same kind as f's.

In an `Objective` a model is in evaluation mode, and its running statistics are constants of f. They
belong to one θ; elsewhere on a curve the layers then normalise by the wrong numbers. Here they are
computed anew from the training inputs, on a copy.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from morsescape.errors import ArgumentError
from morsescape.model.samples import split
from morsescape.model.source import Source
from morsescape.objective import Objective
from morsescape.rounding.kept import Kept

_BATCH = 4096  # samples; a mean over equal batches is that over all

UNFITTING = (
    "the running statistics of the normalisation layers are those of the model that was given, and "
    "do not fit the rest of the curve: recompute=True computes them anew at every point"
)


def with_statistics(f: Objective) -> list[str]:
    """Names of the layers whose running statistics are constants of f."""
    modules = f.source.model.named_modules()
    return [name for name, m in modules if getattr(m, "running_mean", None) is not None]


def recomputable(f: Objective) -> bool:
    """Whether there are running statistics, and `at_statistics_of` can compute them all anew."""
    names, net = with_statistics(f), f.network
    return bool(names) and all(
        net is not None and isinstance(net.model.get_submodule(name), _BatchNorm) for name in names
    )


def at_statistics_of(f: Objective, theta: Tensor) -> Objective:
    """F with the running statistics that the training inputs have at θ: f's own stay as they are.

    The mean over batches of equal size, up to one sample, of their means and unbiased variances, by
    `torch.optim.swa_utils.update_bn`; dropout stays off.

    Raises:
        ArgumentError: running statistics in layers other than nn.BatchNorm.

    Source:
        Izmailov et al., Averaging weights leads to wider optima (2018), section 3.2.
    """
    names, net = with_statistics(f), f.source
    if not names:
        return f
    for name in names:
        layer = net.model.get_submodule(name)
        if not isinstance(layer, _BatchNorm):
            raise ArgumentError(
                "recompute", expected="running statistics in nn.BatchNorm layers alone",
                got=f"{type(layer).__name__} {name!r}", cure="leave recompute out",
            )  # fmt: skip
    own = _with_model(net, copy.deepcopy(net.model))
    pieces = math.ceil(net.samples / _BATCH)
    sizes = [net.samples * (k + 1) // pieces - net.samples * k // pieces for k in range(pieces)]
    # In tuples: of these update_bn takes the first part, whatever the inputs are.
    update_bn(((x,) for x in split(own.x, sizes)), _Layers(own, theta))
    return _with_source(f, own)


def as_statistics(f: Objective, of: Objective) -> Objective:
    """F on the model, and so with the statistics, of another objective, where that has any."""
    if not with_statistics(of):
        return f
    return _with_source(f, _with_model(f.source, of.source.model))


def on_data(f: Objective, test: Any) -> Objective | None:
    """The model, loss and ridge of f on other data.

    Args:
        f: on the training data.
        test: (inputs, targets), an Objective on test data, or None.

    Raises:
        ArgumentError: test data beside a function, or an objective of another dimension.
    """
    if test is None:
        return None
    if isinstance(test, Objective):
        if test.dim != f.dim:
            raise ArgumentError(
                "test", expected=f"an objective of dimension {f.dim}", got=f"dimension {test.dim}",
                cure="make it from the same model",
            )  # fmt: skip
        return test
    return _with_source(f, f.source.on_data(test))


class _Layers(nn.Module):
    """A network at θ of which `train` reaches the normalisation layers alone."""

    def __init__(self, net: Source, theta: Tensor) -> None:
        super().__init__()
        self.model, self.net, self.parameters_at = net.model, net, net.unflatten(theta)
        self.training = False  # what update_bn goes back to in the end

    def train(self, mode: bool = True) -> _Layers:
        self.training = mode
        for layer in _normalising(self.model):
            layer.train(mode)
        return self

    def forward(self, x: Any) -> Any:
        with torch.set_grad_enabled(self.net.needs_graph):
            return self.net.output(self.parameters_at, x)


def _normalising(model: nn.Module) -> Iterator[nn.Module]:
    yield from (m for m in model.modules() if isinstance(m, _BatchNorm))


def _with_model(net: Source, model: nn.Module) -> Source:
    other = copy.copy(net)
    other.model, other.programs = model, Kept()  # what was recorded holds the old statistics
    return other


def _with_source(f: Objective, source: Source) -> Objective:
    other = f.at_l2(f.l2)
    other.source = source
    return other
