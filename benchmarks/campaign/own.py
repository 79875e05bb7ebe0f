"""Modules and losses of our own, each with its definition beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import exact as X
from .activations import gelu, log_softmax
from .definitions import affine, attention, causal, forward, multihead
from .losses import loss_value

F = nn.functional


class Network(nn.Module):
    """A chain of modules, one step of which may be ruined for torch's derivative."""

    def __init__(self, steps: list[nn.Module]) -> None:
        super().__init__()
        self.steps, self.ruined, self.extreme = nn.ModuleList(steps), "", False

    def ruin(self, how: str) -> str:
        self.ruined = how
        return how

    def forward(self, x: Tensor) -> Tensor:
        for k, step in enumerate(self.steps):
            if self.ruined and k == len(self.steps) - 1:
                x = RUINED[self.ruined](step, x)
            else:
                x = step(x)
        return x

    def exact(self, x: Any, w: Any) -> Any:
        for step in self.steps:
            x = forward(step, x, w)
        if self.ruined in ROUNDED:
            x = ROUNDED[self.ruined](x)
        return x


def _no_grad(step: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return step(x)


def _half_detached(step: nn.Module, x: Tensor) -> Tensor:
    return step(x.detach())


RUINED: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "detach": _half_detached,
    "no_grad": lambda step, x: 0.5 * (step(x) + _no_grad(step, x)),
    ".data": lambda step, x: step(x.data),
    "long": lambda step, x: step(x) + step(x).long(),
    "float32": lambda step, x: step(x).float(),
    "half": lambda step, x: step(x).half().double(),
    "numpy": lambda step, x: step(x) + 0 * torch.from_numpy(x.detach().numpy().copy()).sum(),
}
ROUNDED: dict[str, Callable[[Any], Any]] = {"long": lambda z: z + X.elementwise(_whole)(z)}


def _whole(z: Any) -> Any:
    v = X.jet(z).v
    out = (v.floor() if v > 0 else v.ceil()).unique_fmpz()
    if out is None:
        raise X.Undecided("long")
    return int(out)


# -- modules of our own ------------------------------------------------------------------------


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)

    def exact(self, x: Any, w: Any) -> Any:
        return x + forward(self.inner, x, w)


class Attention(nn.Module):
    """Self-attention by hand, by torch's function, or by its module; causal or not."""

    def __init__(self, width: int, way: str, masked: bool) -> None:
        super().__init__()
        self.way, self.masked = way, masked
        if way == "module":
            self.mha = nn.MultiheadAttention(width, 1, batch_first=True)
        else:
            self.qkv = nn.Linear(width, 3 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        t = x.shape[1]
        mask = torch.full((t, t), -torch.inf, dtype=x.dtype).triu(1) if self.masked else None
        if self.way == "module":
            return self.mha(x, x, x, attn_mask=mask, need_weights=False)[0]
        q, k, v = self.qkv(x).chunk(3, -1)
        if self.way == "function":
            return F.scaled_dot_product_attention(q, k, v, is_causal=self.masked)
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask == -torch.inf, -torch.inf)
        return scores.softmax(-1) @ v

    def exact(self, x: Any, w: Any) -> Any:
        mask = causal(x.shape[1]) if self.masked else None
        if self.way == "module":
            return multihead(self.mha, x, w, mask)
        q, k, v = np.split(affine(x, w(self.qkv.weight)), 3, axis=-1)
        return attention(q, k, v, mask)


class Recurrent(nn.Module):
    """The outputs of torch's recurrent layer."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)[0]

    def exact(self, x: Any, w: Any) -> Any:
        return forward(self.inner, x, w)


class TimeFirst(nn.Module):
    """(N, T, d): a layer on (T, N, d), and the steps joined by products."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, out)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.layer(x.transpose(0, 1)))
        return h[0] * h[-1] + h[0]

    def exact(self, x: Any, w: Any) -> Any:
        h = X.elementwise(X.tanh)(forward(self.layer, x.swapaxes(0, 1), w))
        return h[0] * h[-1] + h[0]


class Siamese(nn.Module):
    """Two views of a sample through one layer, stacked or joined in front."""

    def __init__(self, width: int, out: int, stacked: bool) -> None:
        super().__init__()
        self.layer, self.half, self.stacked = nn.Linear(width // 2, out), width // 2, stacked

    def forward(self, x: Tensor) -> Tensor:
        views = x[:, : self.half], x[:, self.half : 2 * self.half]
        if self.stacked:
            a, b = self.layer(torch.stack(views))
        else:
            a, b = self.layer(torch.cat(views)).chunk(2)
        return torch.tanh(a) * torch.sigmoid(b)

    def exact(self, x: Any, w: Any) -> Any:
        a = forward(self.layer, x[:, : self.half], w)
        b = forward(self.layer, x[:, self.half : 2 * self.half], w)
        return X.elementwise(X.tanh)(a) * X.elementwise(X.sigmoid)(b)


class Prototypes(nn.Module):
    """Distances to learned points, which a layer looks at like samples."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.points, self.layer = nn.Parameter(torch.randn(count, width)), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.tanh(self.layer(self.points))
        return (x[:, None] - seen[None]).square().sum(-1)

    def exact(self, x: Any, w: Any) -> Any:
        seen = X.elementwise(X.tanh)(forward(self.layer, w(self.points), w))
        off = x[:, None] - seen[None]
        return X.along(X.total, off * off, -1)


class Tied(nn.Module):
    """x -> W'act(W x), one matrix twice."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.gelu(self.first(x)))

    def exact(self, x: Any, w: Any) -> Any:
        return forward(self.second, X.elementwise(gelu)(forward(self.first, x, w)), w)


class ClassToken(nn.Module):
    """A learned token in front, and a learned position added to each."""

    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.position = nn.Parameter(torch.randn(1, length + 1, width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.position

    def exact(self, x: Any, w: Any) -> Any:
        front = np.repeat(w(self.token), len(x), 0)
        return np.concatenate([front, x], 1) + w(self.position)


class Pick(nn.Module):
    """A series' first, last or mean step."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1) if self.how == "mean" else x[:, 0 if self.how == "first" else -1]

    def exact(self, x: Any, w: Any) -> Any:
        if self.how == "mean":
            return X.along(X.total, x, 1) * (X.number(1) / x.shape[1])
        return x[:, 0 if self.how == "first" else -1]


class Exponent(nn.Module):
    """|x|^p + x with a learned p."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return (x.square() + 0.5) ** self.p + x

    def exact(self, x: Any, w: Any) -> Any:
        p = w(self.p).reshape(-1)[0]
        return X.elementwise(lambda v: X.power(X.jet(v * v + 0.5), p) + v)(x)


# -- losses of our own ---------------------------------------------------------------------------


class MaskedMean:
    """Σ m (x - y)² / Σ m over what is not missing (written as numbers below -9)."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        mask = (y > -9).to(x.dtype)
        return ((x - y).square() * mask).sum() / mask.sum().clamp(min=1)

    def exact(self, x: Any, y: Any) -> Any:
        kept = [
            (a - b) * (a - b) for a, b in zip(x.reshape(-1), y.reshape(-1), strict=True) if b > -9
        ]
        return X.total(kept) * (X.number(1) / max(1, len(kept)))


class Pinball:
    """The 0.3 quantile's loss."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        off = y - x
        return torch.maximum(0.3 * off, -0.7 * off).mean()

    def exact(self, x: Any, y: Any) -> Any:
        def part(a: Any, b: Any) -> Any:
            off = b - X.jet(a)
            return X.largest([X.number(0.3) * off, X.number(-0.7) * off], "pinball")

        parts = X.elementwise(part)(x, y).reshape(-1)
        return X.total(parts) * (X.number(1) / len(parts))


class BatchVariance:
    """Squared error less a tenth of the outputs' variance over all samples: no mean of losses."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().mean() - 0.1 * (x - x.mean(0)).square().mean()

    def exact(self, x: Any, y: Any) -> Any:
        n = X.number(1) / x.size
        centre = X.along(X.total, x, 0) * (X.number(1) / len(x))
        a, b = (x - y).reshape(-1), (x - centre).reshape(-1)
        return X.total(a * a) * n - X.number(0.1) * (X.total(b * b) * n)


class GaussianNLL:
    """nn.GaussianNLLLoss of the output's halves: mean, and variance as a softplus."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        mean, raw = x.chunk(2, -1)
        return nn.GaussianNLLLoss()(mean, y, F.softplus(raw))

    def exact(self, x: Any, y: Any) -> Any:
        mean, raw = np.split(x, 2, axis=-1)

        def part(m: Any, r: Any, t: Any) -> Any:
            v = X.largest([X.softplus(r), X.number(1e-6)], "clamp")
            return (X.log(v) + (m - t) * (m - t) / v) / 2

        parts = X.elementwise(part)(mean, raw, y).reshape(-1)
        return X.total(parts) * (X.number(1) / len(parts))


class AfterSoftmax:
    """Negative log-likelihood, divergence or Brier score of log-probabilities."""

    def __init__(self, inner: nn.Module) -> None:
        self.inner = inner

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return self.inner(x.log_softmax(-1), y)

    def exact(self, x: Any, y: Any) -> Any:
        return loss_value(self.inner, X.along(log_softmax, x, -1), y)


class AfterSigmoid(AfterSoftmax):
    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return self.inner(torch.sigmoid(x), y)

    def exact(self, x: Any, y: Any) -> Any:
        return loss_value(self.inner, X.elementwise(X.sigmoid)(x), y)
