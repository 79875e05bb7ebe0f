"""Many 2-MLPs of the paper side by side; gradients by hand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from morsescape.nets.derivatives import DERIVATIVES


class StackedMlp:
    """M 2-MLPs of one form on the same images: their logits, and the gradient of each loss.

    The first layer is one matrix product of the images with the weights of all members, the second
    a product for each member. Arguments, attributes and methods as `StackedCnn`.
    """

    def __init__(
        self,
        theta: Tensor,
        *,
        image_shape: tuple[int, int],
        classes: int,
        activation: str,
        pool: str = "max",
    ) -> None:
        self.members, dim = theta.shape
        self.pixels, self.classes = image_shape[0] * image_shape[1], classes
        self.hidden = (dim - classes) // (self.pixels + 1 + classes)
        self.activation = DERIVATIVES[activation]
        self.images = 4096
        self.flat = nn.Parameter(theta.new_empty(theta.numel()), requires_grad=False)
        self.flat.grad = torch.zeros_like(self.flat)
        self.weights, self.gradients = self._views(self.flat), self._views(self.flat.grad)
        self._pack(theta)

    def _views(self, flat: Tensor) -> _Weights:
        units, members = self.members * self.hidden, self.members
        sizes = ((self.pixels + 1) * units, self.classes * units, members * self.classes)
        first, second, shift = flat.split(sizes)
        return _Weights(
            first.view(self.pixels + 1, units),
            second.view(members, self.classes, self.hidden),
            shift.view(members, self.classes),
        )

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self.pixels * self.hidden, self.hidden, self.classes * self.hidden, self.classes

    def _pack(self, theta: Tensor) -> None:
        first, bias, second, shift = theta.split(self._sizes, 1)
        self.weights.first[:-1] = first.reshape(-1, self.pixels).t()
        self.weights.first[-1] = bias.reshape(-1)
        self.weights.second.copy_(second.reshape(self.weights.second.shape))
        self.weights.shift.copy_(shift)

    @property
    def theta(self) -> Tensor:
        """The parameters, shape (M, D), in the order of `model.parameters()`."""
        w = self.weights
        parts = (w.first[:-1].t(), w.first[-1], w.second, w.shift)
        return torch.cat([part.reshape(self.members, -1) for part in parts], 1)

    def logits(self, pixels: Tensor) -> Tensor:
        """Shape (M, C, n)."""
        return self._forward(pixels[:, :-1]).logits

    def accumulate(self, pixels: Tensor, targets: Tensor, size: int) -> None:
        """Add to `flat.grad` the gradient of (1/size) Σ cross-entropy over these images."""
        inputs = pixels[:, :-1]  # without the column of zeros
        run, w, g = self._forward(inputs), self.weights, self.gradients
        delta = torch.softmax(run.logits, 1).div_(size).sub_(targets.t())
        g.second.baddbmm_(delta, run.hidden)
        g.shift.add_(delta.sum(2))
        back = torch.bmm(delta.mT, w.second).transpose(0, 1).reshape(run.z.shape)
        self.activation.backward(back, run.z, run.y, back)
        g.first.addmm_(inputs.t(), back)

    def _forward(self, inputs: Tensor) -> _Forward:
        w = self.weights
        z = torch.mm(inputs, w.first)
        y = self.activation.forward(z, torch.empty_like(z))
        hidden = y.view(len(z), self.members, self.hidden).transpose(0, 1)
        return _Forward(z, y, hidden, torch.baddbmm(w.shift[..., None], w.second, hidden.mT))


@dataclass(frozen=True)
class _Weights:
    """Views of a flat vector: first (h·w + 1, 10 M) with the biases below, second (M, C, 10)."""

    first: Tensor
    second: Tensor
    shift: Tensor


@dataclass(frozen=True)
class _Forward:
    """What the backward pass needs."""

    z: Tensor
    y: Tensor
    hidden: Tensor
    logits: Tensor
