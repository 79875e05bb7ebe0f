"""f and ∇f at all images of a band in one computation.

θ is batched, the samples are not: a linear layer on inputs that no image changes becomes one
product with the weights of all images side by side, for which torch's own rule would copy the
inputs. Its outputs lie in memory as (image, unit, sample): so it is one product backward as well,
and what a loss does over the few classes of a sample runs along the many samples. What cannot be
transformed so (hooks, checkpoints, functions of the older form, a branch that asks for a value) is
evaluated one image after the other, and so is what is in doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor
from torch.func import vmap
from torch.overrides import TorchFunctionMode

from morsescape.errors import is_out_of_memory
from morsescape.model.loss import CrossEntropy
from morsescape.model.source import Source
from morsescape.objective import Objective

_AGREES = 1e-9  # relative to ‖∇f‖ and |f|: rounding leaves far less, a wrong transform far more
_NEAR_ZERO = 1e-3  # numbers below this are compared with this
_IMAGES = 64  # in one computation
_SHARED = 4  # times as many samples for all images together as for one: they share the inputs
_BYTES = 2**25  # of one chunk's inputs and activations, roughly, that are always allowed


class Images:
    """f at many points, batched where the source allows it, with a count of gradients.

    Attributes:
        gradients: how many points were evaluated, each with its gradient.
        batched: whether they are in one computation; None before it was tried.
    """

    def __init__(self, f: Objective) -> None:
        self.f, self.gradients = f, 0
        self.batched: bool | None = False if f.source.doubts or f.source.needs_graph else None

    def __call__(
        self, points: Float64[Tensor, "m D"]
    ) -> tuple[Float64[Tensor, " m"], Float64[Tensor, "m D"]]:
        """Values, shape (m,), and gradients, shape (m, D); a value that is not finite is +∞."""
        values, gradients = self._evaluated(points)
        self.gradients += len(points)
        finite = values.isfinite() & gradients.isfinite().all(1)
        return torch.where(finite, values, math.inf), gradients

    def _evaluated(self, points: Tensor) -> tuple[Tensor, Tensor]:
        if self.batched is None:
            self.batched, found = self._tried(points)
            if found is not None:
                return found
        return self._at_once(points) if self.batched else self._one_by_one(points)

    def _tried(self, points: Tensor) -> tuple[bool, tuple[Tensor, Tensor] | None]:
        """Whether the batched computation works and agrees with f at one of the points."""
        try:
            values, gradients = self._at_once(points)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            return False, None
        k = len(points) // 2
        value, gradient = self.f.value_and_gradient(points[k])
        self.gradients += 1
        if not (math.isfinite(value) and bool(gradient.isfinite().all())):
            return True, (values, gradients)
        off = float((gradients[k] - gradient).norm()) / (_NEAR_ZERO + float(gradient.norm()))
        off = max(off, abs(float(values[k]) - value) / (_NEAR_ZERO + abs(value)))
        return off <= _AGREES, (values, gradients) if off <= _AGREES else None

    def _one_by_one(self, points: Tensor) -> tuple[Tensor, Tensor]:
        found = [self.f.value_and_gradient(point) for point in points]
        values = torch.tensor([value for value, _ in found], dtype=torch.float64)
        return values, torch.stack([gradient for _, gradient in found])

    def _at_once(self, points: Tensor) -> tuple[Tensor, Tensor]:
        groups = [self._group(some) for some in points.split(self._images())]
        values, gradients = (torch.cat(parts) for parts in zip(*groups, strict=True))
        l2 = self.f.l2
        return values + l2 * points.square().sum(1), gradients + 2 * l2 * points

    def _group(self, points: Tensor) -> tuple[Tensor, Tensor]:
        source = self.f.source
        size = max(1, min(source.samples, self._samples // len(points)))
        values, gradients = [], []
        for x, y in source.chunks(size):
            leaf = points.detach().clone().requires_grad_()
            with torch.enable_grad(), _SharedInputs():
                shares = _shares(source, x, y, leaf)
            values.append(shares.detach())
            gradients.append(_gradient(shares, leaf))
        return torch.stack(values).sum(0), torch.stack(gradients).sum(0)

    def _images(self) -> int:
        """How many images together: fewer where the loss takes all samples in one call."""
        source = self.f.source
        if not source.loss.at_once:
            return _IMAGES
        return max(1, min(_IMAGES, self._samples // source.samples))

    @property
    def _samples(self) -> int:
        """So many at a time, those of each image counted."""
        source = self.f.source
        return _SHARED * max(source.chunk, _BYTES // (32 * source.sample_numbers))


def values_and_gradients(
    f: Objective, points: Float64[Tensor, "m D"]
) -> tuple[Float64[Tensor, " m"], Float64[Tensor, "m D"]]:
    """Values and gradients of f at each row of `points`: as `f.value_and_gradient`, batched.

    Returns:
        Values, shape (m,), +∞ where one or its gradient is not finite; gradients, shape (m, D).

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: t[0] ** 2 + t[1], 2, l2=1.0)
        >>> values_and_gradients(f, torch.eye(2).double())
        (tensor([2., 2.], dtype=torch.float64),
         tensor([[4., 1.],
                 [0., 3.]], dtype=torch.float64))
    """
    return Images(f)(points)


def _shares(source: Source, x: Any, y: Any, points: Tensor) -> Tensor:
    """A chunk's share of L at each point; cross-entropy of labels of all images in one call."""
    loss = source.loss
    if not (isinstance(loss, CrossEntropy) and loss.simple and not loss.probabilities):
        return vmap(source.on(x, y))(points)
    outputs = vmap(lambda theta: source.output(source.unflatten(theta), x))(points)
    labels = y.expand(len(points), *y.shape)
    each = F.cross_entropy(outputs.transpose(1, 2), labels, reduction="none")
    return each.flatten(1).sum(1) / loss.divisor


def _gradient(shares: Tensor, leaf: Tensor) -> Tensor:
    if not shares.requires_grad:
        return torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(shares.sum(), leaf, allow_unused=True)
    return torch.zeros_like(leaf) if gradient is None else gradient.detach()


class _SharedInputs(TorchFunctionMode):
    """Linear layers by a rule of their own under `vmap`."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is F.linear and not kwargs:
            x, weight, *bias = args
            if not bias or bias[0] is None:
                bias = [weight.new_zeros(weight.shape[:1])]
            return _Linear.apply(x, weight, *bias)
        return func(*args, **(kwargs or {}))


class _Linear(torch.autograd.Function):
    """x Wᵀ + b, whose batching rule does not copy an x that all images share.

    It is applied to batched tensors only from within `vmap`, where the rule takes its place, and
    autograd sees the operations of the rule.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (grad,) = grads
        x, weight = ctx.saved_tensors
        rows = grad.reshape(-1, grad.shape[-1])
        return grad @ weight, rows.t() @ x.reshape(-1, x.shape[-1]), rows.sum(0)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], x: Tensor, weight: Tensor, bias: Tensor
    ) -> tuple[Tensor, int]:
        dims = zip((x, weight, bias), in_dims, strict=True)
        x, weight, bias = (t if d is None else t.movedim(d, 0) for t, d in dims)
        if in_dims[0] is None and in_dims[1] is not None:
            return _side_by_side(x, weight, bias.expand(len(weight), -1)), 0
        several = info.batch_size
        weight = weight if in_dims[1] is not None else weight.expand(several, *weight.shape)
        bias = bias if in_dims[2] is not None else bias.expand(several, -1)
        x = x if in_dims[0] is not None else x.expand(several, *x.shape)
        rows = x.reshape(several, -1, x.shape[-1])
        return _as_inputs(torch.baddbmm(bias.unsqueeze(2), weight, rows.mT), x.shape[1:-1]), 0


def _side_by_side(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(m, …, h) from inputs (…, k), weights (m, h, k) and biases (m, h)."""
    many, units, _ = weight.shape
    rows = x.reshape(-1, x.shape[-1])
    found = torch.addmm(bias.reshape(-1, 1), weight.reshape(many * units, -1), rows.t())
    return _as_inputs(found.view(many, units, len(rows)), x.shape[:-1])


def _as_inputs(found: Tensor, shape: torch.Size) -> Tensor:
    """(m, *shape, h) from (m, h, rows); without a copy where a sample is one row."""
    apart = found.mT if len(shape) == 1 else found.mT.contiguous()  # models may ask for a view
    return apart.unflatten(1, shape)
