"""Many of the paper's CNNs side by side, the member in the last axis; gradients by hand."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from morsescape.nets.derivatives import DERIVATIVES, Activation

_SIDE, _MARGIN = 5, 2  # of a kernel
_TAPS = _SIDE**2
_BUFFER = 2**20  # numbers in the largest buffer, about what a core's cache holds


class StackedCnn:
    """M CNNs of one form on the same images: their logits, and the gradient of each loss.

    The first convolution is one matrix product of the images' patches, shared by all members, with
    their kernels. The second is a convolution with one channel a member. Autograd on the same
    forward pass takes three times as long: its gradient of the second kernels is slow, and it goes
    over the largest arrays more often.

    Args:
        theta: one row a member, in the order of `model.parameters()`; copied.
        image_shape, classes, activation, pool: as in `build`.

    Attributes:
        flat: all parameters in one vector of M·D numbers, which an optimizer may change in place;
            the gradient is `flat.grad`.
        images: how many images at a time keep the buffers in the cache.
    """

    def __init__(
        self,
        theta: Tensor,
        *,
        image_shape: tuple[int, int],
        classes: int,
        activation: str,
        pool: str,
    ) -> None:
        members, dim = theta.shape
        self.members, self.pool, self.activation = members, pool, DERIVATIVES[activation]
        self.half = (image_shape[0] // 2, image_shape[1] // 2)
        self.quarter = (image_shape[0] // 4, image_shape[1] // 4)
        self.features, self.classes = self.quarter[0] * self.quarter[1], classes
        self.windows = _windows(*image_shape)
        self.images = max(1, _BUFFER // (len(self.windows) // (_TAPS + 1) * members))
        self.flat = nn.Parameter(theta.new_empty(members * dim), requires_grad=False)
        self.flat.grad = torch.zeros_like(self.flat)
        self.weights, self.gradients = self._views(self.flat), self._views(self.flat.grad)
        self._pack(theta)
        self._outputs = theta.new_empty(0)

    def _views(self, flat: Tensor) -> _Weights:
        members, features, classes = self.members, self.features, self.classes
        sizes = (_TAPS + 1, _TAPS, 1, classes * features, classes)
        first, kernel, bias, weight, shift = flat.split([members * size for size in sizes])
        return _Weights(
            first.view(_TAPS + 1, members),
            kernel.view(members, 1, _SIDE, _SIDE),
            bias,
            weight.view(members, classes, features),
            shift.view(members, classes),
        )

    def _pack(self, theta: Tensor) -> None:
        w, sizes = self.weights, (_TAPS + 1, _TAPS, 1, self.classes * self.features, self.classes)
        first, kernel, bias, weight, shift = theta.split(sizes, 1)
        w.first.copy_(first.t())
        w.kernel.copy_(kernel.view_as(w.kernel))
        w.bias.copy_(bias.view(-1))
        w.weight.copy_(weight.view_as(w.weight))
        w.shift.copy_(shift)

    @property
    def theta(self) -> Tensor:
        """The parameters, shape (M, D), in the order of `model.parameters()`."""
        w = self.weights
        parts = (w.first.t(), w.kernel, w.bias, w.weight, w.shift)
        return torch.cat([part.reshape(self.members, -1) for part in parts], 1)

    def logits(self, pixels: Tensor) -> Tensor:
        """Shape (M, C, n).

        Args:
            pixels: shape (n, h·w + 2), the last two columns a one and a zero.
        """
        return self._forward(self._patches(pixels)).logits

    def accumulate(self, pixels: Tensor, targets: Tensor, size: int) -> None:
        """Add to `flat.grad` the gradient of (1/size) Σ cross-entropy over these images.

        Args:
            pixels: as for `logits`.
            targets: one row an image, 1/size at its label and else 0.
            size: of the whole batch.
        """
        patches = self._patches(pixels)
        run, w, g = self._forward(patches), self.weights, self.gradients
        delta = torch.softmax(run.logits, 1).div_(size).sub_(targets.t())
        g.weight.baddbmm_(delta, run.features)
        g.shift.add_(delta.sum(2))
        back = torch.bmm(delta.mT, w.weight).permute(1, 2, 0).reshape(run.second.y.shape)
        run.second.backward(back)
        run.z[:, 2 * self.quarter[0] :].zero_()
        run.z[:, :, 2 * self.quarter[1] :].zero_()
        g.bias.add_(run.z.sum((0, 1, 2)))
        g.kernel.add_(_kernel_gradient(run.first.y, run.z, w.kernel))
        run.first.backward(_convolution(run.z, w.kernel.flip(2, 3)))
        g.first.addmm_(patches.t(), run.outputs)

    def _patches(self, pixels: Tensor) -> Tensor:
        """The patches of these images, one a row, with a one at its end for the bias."""
        return pixels.index_select(1, self.windows).view(-1, _TAPS + 1)

    def _forward(self, patches: Tensor) -> _Forward:
        members, w, (height, width) = self.members, self.weights, self.half
        outputs = torch.mm(patches, w.first, out=self._output_buffer(len(patches)))
        # Rows go by image, by place in the 2×2 window of the pooling, by window.
        quarters = outputs.view(-1, 4, height, width, members)
        first = Pooled.of(tuple(quarters.unbind(1)), self.activation, self.pool)
        z = _convolution(first.y, w.kernel, w.bias)
        second = Pooled.of(_quarters(z), self.activation, self.pool)
        features = second.y.view(len(z), self.features, members).permute(2, 0, 1).contiguous()
        logits = torch.baddbmm(w.shift[..., None], w.weight, features.mT)
        return _Forward(outputs, first, z, second, features, logits)

    def _output_buffer(self, rows: int) -> Tensor:
        if len(self._outputs) < rows:
            self._outputs = self.flat.new_empty(rows, self.members)
        return self._outputs[:rows]


@dataclass(frozen=True)
class _Weights:
    """Views of a flat vector: first (26, M) with the bias below, kernel (M, 1, 5, 5), and so on."""

    first: Tensor
    kernel: Tensor
    bias: Tensor
    weight: Tensor
    shift: Tensor


@dataclass(frozen=True)
class _Forward:
    """What the backward pass needs; it overwrites `outputs` and `z` with their gradients."""

    outputs: Tensor
    first: Pooled
    z: Tensor
    second: Pooled
    features: Tensor
    logits: Tensor


@dataclass(frozen=True)
class Pooled:
    """y = pool(a(z)); for max pooling and monotone a it is computed as a(pool(z)), the same.

    Attributes:
        z: the four places of the 2×2 windows, views of one array.
        acted: a(z), or z itself where the pooling comes first.
        pooled: maximum or mean of `acted`.
        y: the result.
    """

    z: tuple[Tensor, ...]
    acted: tuple[Tensor, ...]
    pooled: Tensor
    y: Tensor
    activation: Activation
    maximum: bool

    @classmethod
    def of(cls, z: tuple[Tensor, ...], activation: Activation, pool: str) -> Pooled:
        """Pool four arrays into one."""
        maximum = pool == "max"
        late = maximum and activation.monotone  # a quarter of the values to activate
        acted = z if late else tuple(activation.forward(q, _like(q)) for q in z)
        join = torch.maximum if maximum else torch.add
        pooled = join(acted[0], acted[1])
        for quarter in acted[2:]:
            join(pooled, quarter, out=pooled)
        if not maximum:
            pooled.div_(4)
        y = activation.forward(pooled, _like(pooled)) if late else pooled
        return cls(z, acted, pooled, y, activation, maximum)

    def backward(self, g: Tensor) -> None:
        """Overwrite z with its gradient, given that of y, which is overwritten too."""
        if self.acted is self.z:
            self.activation.backward(g, self.pooled, self.y, g)
            self._to_the_first_maximum(g)
        elif self.maximum:
            self._to_the_first_maximum(g)
            for z, a in zip(self.z, self.acted, strict=True):
                self.activation.backward(a, z, a, z)
        else:
            g.div_(4)
            for z, a in zip(self.z, self.acted, strict=True):
                self.activation.backward(g, z, a, z)

    def _to_the_first_maximum(self, g: Tensor) -> None:
        """Overwrite `acted` with g where it is the first of the largest, as PyTorch has it."""
        first, second, third, last = self.acted
        for quarter, rest in ((first, g), (second, g), (third, last)):
            # Zeros and ones as numbers: booleans would take five times as long.
            torch.eq(quarter, self.pooled, out=quarter)
            quarter.mul_(g)
            torch.sub(g, quarter, out=rest)


# -- inside ---------------------------------------------------------------------------------------


def _windows(height: int, width: int) -> Tensor:
    """For each number in the patches of an image, the column of `pixels` that it comes from.

    In the order image row and column within a 2×2 window, window, then the 25 pixels of the patch
    and the one that the bias multiplies. Only rows and columns that the pooling keeps have patches.
    """
    one, zero = height * width, height * width + 1
    padded = torch.full((height + 2 * _MARGIN, width + 2 * _MARGIN), zero)
    padded[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = torch.arange(height * width).view(height, width)
    patches = padded.unfold(0, _SIDE, 1).unfold(1, _SIDE, 1)[: height // 2 * 2, : width // 2 * 2]
    grouped = patches.unflatten(0, (-1, 2)).unflatten(2, (-1, 2)).permute(1, 3, 0, 2, 4, 5)
    return pad(grouped.flatten(4), (0, 1), value=one).flatten()


def _quarters(z: Tensor) -> tuple[Tensor, ...]:
    """The four places of the 2×2 windows of (n, h, w, M); an odd last row or column is left out."""
    height, width = z.shape[1] // 2 * 2, z.shape[2] // 2 * 2
    return tuple(z[:, i:height:2, j:width:2] for i in range(2) for j in range(2))


def _convolution(x: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Each member's images (n, h, w, M) with its own kernel (M, 1, 5, 5), the same size."""
    if x.dtype == torch.float32:
        images = x.permute(0, 3, 1, 2)
        return conv2d(images, kernel, bias, padding=_MARGIN, groups=len(kernel)).permute(0, 2, 3, 1)
    # PyTorch has a fast kernel for float32 alone.
    height, width = x.shape[1:3]
    padded = pad(x, (0, 0, *(_MARGIN,) * 4))
    y = torch.zeros_like(x) if bias is None else bias.expand_as(x).clone()
    for k, tap in enumerate(kernel.view(len(kernel), -1).t().contiguous()):
        i, j = divmod(k, _SIDE)
        y.addcmul_(padded[:, i : i + height, j : j + width], tap)
    return y


def _kernel_gradient(x: Tensor, g: Tensor, kernel: Tensor) -> Tensor:
    """Gradient of <g, convolution(x, kernel)> with respect to the kernel, (M, 1, 5, 5)."""
    # In two parts, and with margins that are stored, it takes an eighth of the time: the routine
    # of oneDNN for this wants kernels at most three wide and small images no smaller than them.
    rows = (_MARGIN, _MARGIN)
    left = _narrow_gradient(pad(x, (0, 0, _MARGIN, 0, *rows)), g, kernel[..., :3])
    right = _narrow_gradient(pad(x, (0, 0, -1, _MARGIN, *rows)), g, kernel[..., 3:])
    return torch.cat([left, right], 3)


def _narrow_gradient(x: Tensor, g: Tensor, kernel: Tensor) -> Tensor:
    """The same for some columns of the kernel, x with the margins that these need."""
    _, gradient, _ = torch.ops.aten.convolution_backward(
        g.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2), kernel, None, [1, 1], [0, 0], [1, 1],
        False, [0, 0], len(kernel), [False, True, False],
    )  # fmt: skip
    return gradient


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)
