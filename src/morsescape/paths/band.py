"""A band of images between two points: its tangents, its steps, and where it lacks images."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.objective import Objective
from morsescape.paths.images import Images
from morsescape.paths.metrics import Metrics

_FIRST, _LEAST, _SLOWER, _FASTER = 0.5, 0.02, 0.5, 1.3  # shares of a full step
_FAR = 0.5  # of the distance to the nearer neighbour: longer steps would tangle the band
_TURNED = 0.5  # of the slope before, in the other direction: the step went too far
_BETWEEN = (0.25, 0.5, 0.75)  # where a segment is looked at


@dataclass(frozen=True)
class Between:
    """Points on each of the m - 1 segments, (m - 1, 3, D), with f and ∇f there."""

    points: Tensor
    values: Tensor
    gradients: Tensor


@dataclass
class Band:
    """Images with f and ∇f there; the ends stay.

    Attributes:
        f: the landscape.
        points: (m, D), both ends among them.
        targets: (m,), the share of the length at which each image belongs; ascending from 0 to 1.
        images: evaluates, and counts.
        metrics: in which steps are taken.
        spring: None for equal arc lengths after each step (string); otherwise the share of the way
            to them that springs pull an image in a step (nudged elastic band).
        climber: an image that goes up along the band instead; None for none.
        fixed: whether the climber stays where it is.
    """

    f: Objective
    points: Tensor
    images: Images
    metrics: Metrics
    spring: float | None
    targets: Tensor = field(init=False)
    climber: int | None = None
    fixed: bool = False
    last: tuple[Tensor, Tensor] | None = None  # points and gradients before the last step
    moved: Tensor | None = None  # the last moves

    def __post_init__(self) -> None:
        self.targets = torch.linspace(0, 1, len(self.points), dtype=torch.float64)
        self.values, self.gradients = self.images(self.points)
        self._fresh()

    def _fresh(self) -> None:
        self.shares = torch.full((len(self.points),), _FIRST, dtype=torch.float64)

    # -- what it is like ----------------------------------------------------------------------

    @property
    def top(self) -> int:
        """The highest inner image."""
        return 1 + int(self.values[1:-1].argmax())

    @property
    def height(self) -> float:
        """The largest f of all images."""
        return float(self.values.max())

    @property
    def gaps(self) -> Tensor:
        """The lengths of the segments, shape (m - 1,)."""
        return self.points.diff(dim=0).norm(dim=1)

    def tangents(self) -> Float64[Tensor, "i D"]:
        """Unit tangents at the inner images, upwind.

        Source: Henkelman & Jónsson, J. Chem. Phys. 113 (2000) 9978, equations 8 to 11.
        """
        v, steps = self.values, self.points.diff(dim=0)
        before, after = steps[:-1], steps[1:]
        up, down = v[2:] - v[1:-1], v[:-2] - v[1:-1]  # to the neighbours
        large, small = torch.maximum(up.abs(), down.abs()), torch.minimum(up.abs(), down.abs())
        higher = v[2:] > v[:-2]
        ahead = torch.where(higher, large, small)[:, None]
        behind = torch.where(higher, small, large)[:, None]
        mixed = torch.where((large > 0)[:, None], after * ahead + before * behind, after + before)
        rising = ((up > 0) & (down < 0))[:, None]
        falling = ((up < 0) & (down > 0))[:, None]
        found = torch.where(rising, after, torch.where(falling, before, mixed))
        return found / found.norm(dim=1, keepdim=True).clamp_min(1e-300)

    def force(self) -> float:
        """The largest ‖∇f‖ across the band, and of the whole at the climber."""
        tangents, g = self.tangents(), self.gradients[1:-1]
        across = g - tangents * (g * tangents).sum(1, keepdim=True)
        if self.climber is not None:
            across[self.climber - 1] = 0 if self.fixed else g[self.climber - 1]
        return float(across.norm(dim=1).max())

    # -- steps ----------------------------------------------------------------------------------

    def step(self) -> None:
        """Move all images once, space them again, and evaluate them."""
        before = self.points.clone(), self.values.clone()
        tangents = self.tangents()
        moves = self._shortened(self._moves(tangents))
        if self.climber is not None and self.fixed:
            moves[self.climber - 1] = 0
        self.points[1:-1] += moves if self.spring is None else moves + self._pulled(tangents)
        if self.spring is None:
            self.space()
        falls = (self._turned(tangents) * moves).sum(1)
        self.evaluate()
        rises = (self._turned(tangents) * moves).sum(1)
        self._pace((rises > -_TURNED * falls) | ~rises.isfinite(), moves)
        self._take_back(*before)

    def _turned(self, tangents: Tensor) -> Tensor:
        """∇f at the inner images, that of the climber with its part along the band reversed."""
        g = self.gradients[1:-1].clone()
        if self.climber is not None:
            k = self.climber - 1
            g[k] -= 2 * (g[k] @ tangents[k]) * tangents[k]
        return g

    def _shortened(self, moves: Tensor) -> Tensor:
        """Shares of full steps; without a metric of the lengths that ∇f has shown."""
        gaps = self.gaps
        reach = _FAR * torch.minimum(gaps[:-1], gaps[1:]) / moves.norm(dim=1).clamp_min(1e-300)
        shares = self.shares[1:-1] if self.metrics.dense else self._secant()[1:-1]
        return moves * torch.minimum(shares, reach)[:, None]

    def _secant(self) -> Tensor:
        """The shorter of Barzilai and Borwein's step lengths; unlimited at first."""
        last, self.last = self.last, (self.points.clone(), self.gradients.clone())
        if last is None or last[0].shape != self.points.shape:
            return torch.full_like(self.shares, torch.inf)
        s, y = self.points - last[0], self.gradients - last[1]
        return ((s * y).sum(1).abs() / y.square().sum(1)).nan_to_num(torch.inf)

    def _pace(self, over: Tensor, moves: Tensor) -> None:
        """Shorter steps after one that went too far or that took the one before back.

        The latter is how neighbours disturb one another through their tangents, which f does not
        show; without it the band goes on swinging.
        """
        if self.moved is not None and self.moved.shape == moves.shape:
            over = over | ((moves * self.moved).sum(1) < 0)
        self.moved = moves
        self.shares[1:-1] *= torch.where(over, _SLOWER, _FASTER)
        self.shares.clamp_(_LEAST, 1.0)

    def _moves(self, tangents: Tensor) -> Tensor:
        """Full steps of the inner images.

        Each goes to the minimum of the model g·s + ½ sᵀPs across the band, where τ·s = 0; the
        climber up along the band as well, as far as the curvature 1/τᵀP⁻¹τ says.
        """
        g, inner = self.gradients[1:-1], self.points[1:-1]
        down, along = self.metrics.solve(inner, g, tangents)
        share = (tangents * down).sum(1) / (tangents * along).sum(1)
        moves = along * share[:, None] - down
        if self.climber is not None:
            k = self.climber - 1
            # -P⁻¹g with its part along the band reversed.
            moves[k] += along[k] * share[k]
        return moves

    def _pulled(self, tangents: Tensor) -> Tensor:
        """What springs move the images along the band, towards their shares of its length."""
        assert self.spring is not None
        gaps, parts = self.gaps, self.targets.diff()
        scale = gaps.sum()
        off = (gaps[1:] / parts[1:] - gaps[:-1] / parts[:-1]) / scale
        pull = self.spring * 0.5 * off * scale * torch.minimum(parts[1:], parts[:-1])
        if self.climber is not None:
            pull[self.climber - 1] = 0
        return tangents * pull[:, None]

    def space(self) -> None:
        """Move the images along the band to their shares of its length; a climber stays."""
        pins = [0, *([self.climber] if self.climber is not None else []), len(self.points) - 1]
        for p, q in pairwise(pins):
            part = slice(p, q + 1)
            shares = (self.targets[part] - self.targets[p]) / (self.targets[q] - self.targets[p])
            self.points[p + 1 : q] = along(self.points[part], shares[1:-1])

    def evaluate(self) -> None:
        """F and ∇f of the inner images."""
        moved = slice(1, len(self.points) - 1)
        self.values[moved], self.gradients[moved] = self.images(self.points[moved])

    def _take_back(self, points: Tensor, values: Tensor) -> None:
        """Put images where f is not finite back to where it was, and let them go slower."""
        lost = ~self.values.isfinite() & values.isfinite()
        if not bool(lost.any()):
            return
        self.points[lost] = points[lost]
        self.values[lost], self.gradients[lost] = self.images(self.points[lost])
        self.shares[lost] = (self.shares[lost] * _SLOWER**2).clamp_min(_LEAST)

    # -- more images ----------------------------------------------------------------------------

    def look(self) -> Between:
        """Look at f between the images."""
        m = len(self.points)
        t = torch.tensor(_BETWEEN, dtype=torch.float64)[None, :, None]
        points = (1 - t) * self.points[:-1, None] + t * self.points[1:, None]
        values, gradients = self.images(points.reshape(-1, self.f.dim))
        return Between(points, values.view(m - 1, -1), gradients.view_as(points))

    def insert(self, between: Between, rise: float, most: int) -> int:
        """Add images where f between two of them exceeds both, by this much; how many.

        Source: Draxler, Veschgini, Salmhofer & Hamprecht, ICML (2018): AutoNEB.
        """
        peaks, where = between.values.max(1)
        excess = peaks - torch.maximum(self.values[:-1], self.values[1:])
        order = excess.argsort(descending=True)[: max(0, most - len(self.points))]
        chosen = sorted((k for k in order.tolist() if float(excess[k]) > rise), reverse=True)
        for k in chosen:
            w = int(where[k])
            found = between.points[k, w], between.values[k, w], between.gradients[k, w]
            self._put(k, _BETWEEN[w], *found)
        if chosen:
            self._fresh()
        return len(chosen)

    def copy(self) -> Band:
        """The same images, that stay when these move."""
        kept = copy.copy(self)
        kept.points, kept.values = self.points.clone(), self.values.clone()
        kept.gradients, kept.targets = self.gradients.clone(), self.targets.clone()
        kept._fresh()
        return kept

    def _put(self, k: int, t: float, point: Tensor, value: Tensor, gradient: Tensor) -> None:
        target = (1 - t) * self.targets[k] + t * self.targets[k + 1]
        for name, new in (
            ("points", point), ("values", value), ("gradients", gradient), ("targets", target),
        ):  # fmt: skip
            old = getattr(self, name)
            setattr(self, name, torch.cat([old[: k + 1], new[None], old[k + 1 :]]))
        if self.climber is not None and self.climber > k:
            self.climber += 1


def along(points: Float64[Tensor, "m D"], shares: Float64[Tensor, " k"]) -> Float64[Tensor, "k D"]:
    """The points of a polygon at these shares of its length.

    Example:
        >>> square = torch.tensor([[0.0, 0], [1, 0], [1, 1]]).double()
        >>> along(square, torch.tensor([0.25, 0.75]).double()).tolist()
        [[0.5, 0.0], [1.0, 0.5]]
    """
    gaps = points.diff(dim=0).norm(dim=1)
    length = torch.cat([gaps.new_zeros(1), gaps.cumsum(0)])
    places = shares * length[-1]
    k = (torch.searchsorted(length, places, right=True) - 1).clamp(0, len(gaps) - 1)
    t = ((places - length[k]) / gaps[k].clamp_min(1e-300)).clamp(0, 1)[:, None]
    return (1 - t) * points[k] + t * points[k + 1]
