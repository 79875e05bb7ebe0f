"""The symmetries of a network's parameters: points that differ by one are the same function.

For a layer y = p(a(Wx + b)) with p a pooling or nothing, and whatever is linear after it:

* a(sz) = s a(z) for s > 0 (ReLU; maximum and mean keep it): W, b times s and the next weights
  divided by s, the next biases unchanged;
* a(-z) = -a(z) (tanh; the mean keeps it, the maximum does not): the same with s = -1;
* units of a hidden layer in another order (the CNN has one channel, hence no other order);
* the cross-entropy does not change when one vector is added to all rows of the last weights and
  one number to all of the last biases.

Turning or mirroring the kernels is none: the images would have to be turned too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.nets.ensemble import STACKS

RESCALING = "positive rescaling"
_TAPS = 25  # of a kernel
_ROUNDS = 200  # of Newton's method, which takes about ten unless sizes differ by many orders


@dataclass(frozen=True)
class Symmetries:
    """What can be done to θ without changing the loss, for the networks of `train_ensemble`.

    Attributes:
        net: "cnn" or "mlp2".
        pixels: of an image.
        classes: number of outputs.
        activation, pool: as in `build`.

    Raises:
        ArgumentError: another network.

    Source:
        Rescaling: Neyshabur, Salakhutdinov & Srebro, Path-SGD (2015), section 2. Sign flips and
        permutations: Chen, Lu & Hecht-Nielsen, On the geometry of feedforward neural network error
        surfaces (1993).

    Example:
        >>> Symmetries("cnn").names
        ('positive rescaling', 'softmax shift')
        >>> Symmetries("mlp2", activation="tanh").names
        ('sign flips', 'permutation of hidden units', 'softmax shift')
    """

    net: str
    pixels: int = 784
    classes: int = 10
    activation: str = "relu"
    pool: str = "max"

    def __post_init__(self) -> None:
        if self.net not in STACKS:
            raise ArgumentError(
                "net", expected=" | ".join(STACKS), got=repr(self.net), cure="choose one of these"
            )

    @property
    def rescaling(self) -> bool:
        """Whether layers can be multiplied by positive numbers that the next layer undoes."""
        return self.activation == "relu"

    @property
    def flips(self) -> bool:
        """Whether the same holds for -1."""
        return self.activation == "tanh" and (self.net != "cnn" or self.pool == "avg")

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds of symmetries that this network has."""
        kinds = {
            RESCALING: self.rescaling,
            "sign flips": self.flips,
            "permutation of hidden units": self.net == "mlp2",
            "softmax shift": True,
        }
        return tuple(name for name, has in kinds.items() if has)

    def canonical(self, theta: Float64[Tensor, "M D"]) -> Float64[Tensor, "M D"]:
        """The point of least norm among those that differ from θ by a symmetry.

        Shift and rescaling leave one such point. Of the finitely many that flips and permutations
        leave, the one whose units have a sum of incoming weights above zero and stand in the order
        of the norms of these. So two points that differ by a symmetry have the same canonical form,
        up to rounding, unless two norms are equal or a sum is zero.

        Returns:
            Shape (M, D); the same functions up to a number added to all outputs of an image. A row
            with a layer that is zero has no such point: its scale stays as it is.

        Example:
            >>> theta = torch.randn(1, 552, generator=torch.Generator().manual_seed(0)).double()
            >>> copy = theta.clone()
            >>> copy[:, :26] *= 3  # the first kernel and its bias
            >>> copy[:, 26:51] /= 3  # the second kernel
            >>> f = Symmetries("cnn")
            >>> float((f.canonical(copy) - f.canonical(theta)).abs().max()) < 1e-12
            True
        """
        if self.net == "cnn":
            return self._cnn(theta)
        units, shift = self._units(theta)
        into, out = units[..., : self.pixels + 1], units[..., self.pixels + 1 :].mT
        parts = (into[..., :-1], into[..., -1], out, shift)
        return torch.cat([part.flatten(1) for part in parts], 1)

    def distances(self, theta: Float64[Tensor, "M D"]) -> np.ndarray:
        """Distances of all pairs of points, modulo symmetries, of canonical forms.

        Over the flips and permutations of an MLP it is the least one, by an assignment of units.
        Over rescalings it is that of the points of least norm, an upper bound on the least one.

        Returns:
            Shape (M(M - 1)/2,), in the order of `scipy.spatial.distance.pdist`.
        """
        if self.net == "cnn":
            return pdist(self.canonical(theta).numpy())
        units, shift = self._units(theta)
        return _matched(units.numpy(), shift.numpy(), self.flips)

    def _cnn(self, theta: Tensor) -> Tensor:
        features = (theta.shape[1] - 2 * (_TAPS + 1)) // self.classes - 1
        sizes = (_TAPS + 1, _TAPS, 1, self.classes * features, self.classes)
        first, kernel, bias, weight, shift = theta.split(sizes, 1)
        weight = _centred(weight.unflatten(1, (self.classes, -1))).flatten(1)
        # The first layer times s, the second times t.
        s = t = theta.new_ones(len(theta), 1)
        if self.rescaling:
            s, t = _least_scales(first, kernel, bias, weight)
        elif self.flips:
            s, t = _sign(first), _sign(first) * _sign(kernel)
        parts = (first * s, kernel * (t / s), bias * t, weight / t, _centred(shift))
        return torch.cat(parts, 1)

    def _units(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The hidden units (w, b, v), shape (M, units, h·w + 1 + C), and the last biases."""
        hidden = (theta.shape[1] - self.classes) // (self.pixels + 1 + self.classes)
        sizes = (self.pixels * hidden, hidden, self.classes * hidden, self.classes)
        first, bias, second, shift = theta.split(sizes, 1)
        into = torch.cat([first.unflatten(1, (hidden, -1)), bias[..., None]], 2)
        out = _centred(second.unflatten(1, (self.classes, -1))).mT
        s = torch.ones_like(into[..., :1])
        if self.rescaling:
            s = (_norm(out) / _norm(into)).sqrt()
            s = torch.where((s > 0) & s.isfinite(), s, 1.0)
        elif self.flips:
            s = _sign(into)
        units = torch.cat([into * s, out / s], 2)
        order = _norm(into * s).argsort(1, descending=True)
        return units.gather(1, order.expand_as(units)), _centred(shift)


# -- inside ---------------------------------------------------------------------------------------


def _least_scales(
    first: Tensor, kernel: Tensor, bias: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """The s, t > 0 that make |s first|² + |kernel t/s|² + |t bias|² + |weight/t|² smallest.

    The best s for a given t is s² = t |kernel| / |first|. What is left has its minimum where
    |bias|² t⁴ + |first| |kernel| t³ = |weight|². The left side is convex, and Newton's method
    comes down to the root from where the term of t³ alone has it.
    """
    a, b, c, e = (_norm(part) for part in (first, kernel, bias, weight))
    t = (e**2 / (a * b)) ** (1 / 3)
    for _ in range(_ROUNDS):
        excess = c**2 * t**4 + a * b * t**3 - e**2
        t = t - excess / (4 * c**2 * t**3 + 3 * a * b * t**2)
    s = (t * b / a).sqrt()
    good = (a > 0) & (b > 0) & (e > 0)
    return torch.where(good, s, 1.0), torch.where(good, t, 1.0)


def _centred(x: Tensor) -> Tensor:
    """Minus the mean over the classes, in the second axis."""
    return x - x.mean(1, keepdim=True)


def _norm(x: Tensor) -> Tensor:
    """Along the last axis, which is kept."""
    return x.norm(dim=-1, keepdim=True)


def _sign(x: Tensor) -> Tensor:
    """Of the sum along the last axis, which is kept; 1 for zero."""
    return torch.where(x.sum(-1, keepdim=True) < 0, -1.0, 1.0).to(x.dtype)


def _matched(units: np.ndarray, shift: np.ndarray, flips: bool) -> np.ndarray:
    """Distances of all pairs, each with the best assignment of the units of one to the other's."""
    members, size = len(units), units.shape[2]
    distances = []
    for k in range(members - 1):
        others = units[k + 1 :].reshape(-1, size)
        costs = cdist(units[k], others, "sqeuclidean")
        if flips:
            costs = np.minimum(costs, cdist(units[k], -others, "sqeuclidean"))
        for j, cost in enumerate(np.split(costs, members - k - 1, axis=1), start=k + 1):
            best = cost[linear_sum_assignment(cost)].sum()
            distances.append(np.sqrt(best + np.sum((shift[k] - shift[j]) ** 2)))
    return np.array(distances)
