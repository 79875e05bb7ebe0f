"""A model, a loss and data as one pure function of a flat parameter vector.

    L(theta) = (1/N) sum_n loss(model_theta(x_n), y_n)

Everything above this file sees a network through `Network`: it splits theta into named
tensors, walks over the samples in chunks, and refuses models whose output is not a function
of the parameters and of one sample at a time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from morsescape.errors import ArgumentError

LossFunction = Callable[[Tensor, Tensor], Tensor]
Parameters = Mapping[str, Tensor]

CONVEX_LOSSES = ("cross_entropy", "mse")  # convex in the model's output


class Network:
    """L as a pure function: parameters by name in, a chunk's share of the mean loss out."""

    def __init__(
        self,
        model: nn.Module,
        loss: str | LossFunction,
        data: tuple[Tensor, Tensor],
        dtype: torch.dtype,
    ) -> None:
        _refuse_training_mode(model)
        x, y = _check_data(data)
        # A copy: the caller's model keeps its dtype and place and is never written to. On the CPU,
        # for which the rounding of every operation is known.
        self.model = _here(copy.deepcopy(model), dtype)
        self.dtype = dtype
        self.loss = loss
        self.x = _here(x, dtype) if x.is_floating_point() else x.cpu()
        self.y = _here(y, dtype) if y.is_floating_point() else y.cpu()
        if loss == "cross_entropy" and not y.is_floating_point():
            self.y = self.y.long()  # labels of any integer type
        trainable = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        if not trainable:
            raise ArgumentError(
                "model",
                expected="at least one parameter that requires a gradient",
                got="none",
                cure="unfreeze the parameters to study",
            )
        self.shapes = {name: tuple(p.shape) for name, p in trainable}
        self.slices = _slices(self.shapes)
        self.dim = sum(p.numel() for _, p in trainable)
        self.theta = torch.cat([p.detach().reshape(-1) for _, p in trainable]).clone()
        self.programs: dict[Any, Any] = {}  # recorded programs, kept for the next theta
        self._check_loss()

    @property
    def samples(self) -> int:
        """N, the number of samples in the mean."""
        return self.x.shape[0]

    @property
    def convex_in_output(self) -> bool:
        """Whether the loss is known to be convex in the model's output."""
        return self.loss in CONVEX_LOSSES

    def unflatten(self, theta: Float[Tensor, " d"]) -> dict[str, Tensor]:
        """Split a flat vector into the model's named parameters (views, no copy)."""
        return {name: theta[s].view(self.shapes[name]) for name, s in self.slices.items()}

    def output(self, parameters: Parameters, x: Tensor) -> Tensor:
        """The model's output on a chunk of inputs."""
        return functional_call(self.model, dict(parameters), (x,))

    def share(self, output: Tensor, y: Tensor) -> Tensor:
        """The chunk's share of L: its shares over any partition of the samples sum to L.

        Cross-entropy is written as logsumexp(z) - z_y, whose derivatives need few operations.
        """
        if self.loss == "cross_entropy":
            if y.is_floating_point():  # class probabilities
                return (y * (output.logsumexp(1, keepdim=True) - output)).sum() / self.samples
            chosen = output.gather(1, y.unsqueeze(1)).squeeze(1)
            return (output.logsumexp(1) - chosen).sum() / self.samples
        if self.loss == "mse":
            return (output - y).square().sum() / (self.samples * output[0].numel())
        assert callable(self.loss)
        return self.loss(output, y) * output.shape[0] / self.samples  # both roundings are seen

    def chunk_loss(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """`share` of the model's output on the chunk."""
        return self.share(self.output(parameters, x), y)

    def chunks(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The samples in order, `size` at a time."""
        return zip(self.x.split(size), self.y.split(size), strict=True)

    def _check_loss(self) -> None:
        if not (callable(self.loss) or self.loss in CONVEX_LOSSES):
            raise ArgumentError(
                "loss",
                expected="'cross_entropy', 'mse' or a function (output, target) -> scalar",
                got=repr(self.loss),
                cure="pass one of these",
            )
        parameters = self.unflatten(self.theta)
        x, y = self.x[:4], self.y[:4]
        with torch.no_grad():
            output = self.output(parameters, x)
            _check_output(output)
            _check_targets(self.loss, output, self.y)
            _check_deterministic(self, parameters, x, output)
            _check_mean(self, output, y)


@contextmanager
def differentiable() -> Iterator[None]:
    """Say what to do where torch has no second derivative of an operation.

    Raises:
        ArgumentError: there is one.
    """
    try:
        yield
    except RuntimeError as missing:  # NotImplementedError is one too
        if not any(word in str(missing) for word in ("derivative for", "forward AD", "jvp")):
            raise
        raise ArgumentError(
            "model",
            expected="operations that torch can differentiate twice",
            got=str(missing).splitlines()[0],
            cure="another operation; for attention build and call everything under "
            "torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)",
        ) from missing


_T = TypeVar("_T", nn.Module, Tensor)


def _here(what: _T, dtype: torch.dtype) -> _T:
    """On the CPU, then cast: some accelerators have no float64."""
    return what.to("cpu").to(dtype)


def _slices(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, slice]:
    slices, start = {}, 0
    for name, shape in shapes.items():
        stop = start + torch.Size(shape).numel()
        slices[name] = slice(start, stop)
        start = stop
    return slices


def _refuse_training_mode(model: nn.Module) -> None:
    for name, module in model.named_modules():
        kind = type(module).__name__
        random = "Dropout" in kind and getattr(module, "p", 0.0) > 0
        batch = "BatchNorm" in kind
        if module.training and (random or batch):
            what = "noise" if random else "the other samples of its batch"
            raise ArgumentError(
                "model",
                expected="an output that is a function of the parameters and one input",
                got=f"{kind} {name!r} in training mode, whose output depends on {what}",
                cure="call model.eval() first",
            )


def _check_data(data: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    x, y = (torch.as_tensor(part) for part in data)
    if x.ndim == 0 or y.ndim == 0 or len(x) == 0 or len(x) != len(y):
        raise ArgumentError(
            "data",
            expected="inputs and targets for the same number of samples, at least one",
            got=f"shapes {tuple(x.shape)} and {tuple(y.shape)}",
            cure="pass (x, y) with len(x) == len(y) > 0",
        )
    for name, part in (("inputs", x), ("targets", y)):
        if part.is_floating_point() and not bool(part.isfinite().all()):
            bad = int((~part.isfinite()).reshape(len(part), -1).any(1).nonzero()[0])
            raise ArgumentError(
                f"data {name}",
                expected="finite numbers",
                got=f"nan or inf, first in sample {bad}",
                cure="remove or repair that sample",
            )
    return x, y


def _check_output(output: Tensor) -> None:
    if not bool(output.isfinite().all()):
        raise ArgumentError(
            "model",
            expected="finite outputs at its own parameters",
            got="nan or inf",
            cure="check the parameters: a training that diverged ends so",
        )


def _check_targets(loss: str | LossFunction, output: Tensor, y: Tensor) -> None:
    if loss == "cross_entropy":
        _check_labels(output, y)
    elif loss == "mse" and output.shape[1:] != y.shape[1:]:
        raise ArgumentError(
            "targets",
            expected=f"shape (N, {', '.join(map(str, output.shape[1:]))}) like the output",
            got=str(tuple(y.shape)),
            cure="reshape the targets; 'mse' does not broadcast",
        )


def _check_labels(output: Tensor, y: Tensor) -> None:
    if output.ndim != 2:
        raise ArgumentError(
            "model",
            expected="an output of shape (N, classes) for 'cross_entropy'",
            got=f"shape {tuple(output.shape)}",
            cure="flatten the output or pass your own loss function",
        )
    classes = output.shape[1]
    if y.is_floating_point():
        if y.shape[1:] != output.shape[1:]:
            raise ArgumentError(
                "targets",
                expected=f"class probabilities of shape (N, {classes}) or integer labels",
                got=f"{y.dtype} of shape {tuple(y.shape)}",
                cure="y.long() turns labels into integers",
            )
        # The loss is convex in the logits only for weights that are not negative, and its
        # shift symmetry needs a sum of one.
        if bool((y < 0).any()) or not torch.allclose(y.sum(1), torch.ones_like(y[:, 0])):
            raise ArgumentError(
                "targets",
                expected="class probabilities: not negative, each row summing to 1",
                got=f"smallest {float(y.min()):g}, row sums from {float(y.sum(1).min()):g} "
                f"to {float(y.sum(1).max()):g}",
                cure="normalise the rows, or pass integer labels",
            )
    elif y.ndim != 1 or int(y.min()) < 0 or int(y.max()) >= classes:
        raise ArgumentError(
            "targets",
            expected=f"labels of shape (N,) in 0 .. {classes - 1}",
            got=f"shape {tuple(y.shape)}, values {int(y.min())} .. {int(y.max())}",
            cure="check the labels and the width of the last layer",
        )


def _check_deterministic(net: Network, parameters: Parameters, x: Tensor, output: Tensor) -> None:
    again = net.output(parameters, x)
    if not torch.equal(again, output):
        raise ArgumentError(
            "model",
            expected="the same output for the same input",
            got=f"outputs that differ by {float((again - output).abs().max()):.3g}",
            cure="switch off the model's noise, or fix its random draws",
        )
    alone = torch.cat([net.output(parameters, x[i : i + 1]) for i in range(len(x))])
    if not torch.allclose(alone, output, rtol=1e-3, atol=1e-5):
        raise ArgumentError(
            "model",
            expected="an output for each sample that does not depend on the others",
            got=f"a difference of {float((alone - output).abs().max()):.3g} between a sample "
            "alone and in a batch",
            cure="replace batch statistics by fixed ones (model.eval())",
        )


def _check_mean(net: Network, output: Tensor, y: Tensor) -> None:
    """A loss function of the caller's must be a mean over samples, or chunks cannot be summed."""
    if not callable(net.loss):
        return
    whole = net.loss(output, y)
    if whole.ndim != 0:
        raise ArgumentError(
            "loss",
            expected="a scalar",
            got=f"shape {tuple(whole.shape)}",
            cure="return the mean over the samples",
        )
    if len(y) < 2:
        return
    parts = [net.loss(output[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    mean = torch.stack(parts).mean()
    if not torch.allclose(whole, mean, rtol=1e-3, atol=1e-6):
        raise ArgumentError(
            "loss",
            expected="the mean over the samples of one loss each",
            got=f"{float(whole):.6g} on {len(y)} samples whose own losses average "
            f"{float(mean):.6g}",
            cure="use reduction='mean'",
        )
