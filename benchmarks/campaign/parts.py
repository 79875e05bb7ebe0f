"""What random networks are made of: readers, layers, activations, ends and losses."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .own import (
    AfterSigmoid,
    AfterSoftmax,
    Attention,
    BatchVariance,
    ClassToken,
    Exponent,
    GaussianNLL,
    MaskedMean,
    Network,
    Pick,
    Pinball,
    Prototypes,
    Recurrent,
    Residual,
    Siamese,
    Tied,
    TimeFirst,
)

F = nn.functional
ACTIVATIONS: tuple[Callable[[], nn.Module], ...] = (
    nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ReLU6, nn.Hardtanh,
    lambda: nn.Threshold(0.1, 0.2),
    nn.Hardshrink, nn.Softshrink, nn.Tanhshrink, nn.Softsign, nn.Tanh, nn.Sigmoid, nn.LogSigmoid,
    nn.SiLU, nn.Mish, nn.GELU, lambda: nn.GELU(approximate="tanh"), nn.Softplus,
    lambda: nn.Softplus(beta=2.0, threshold=1.0), nn.ELU, lambda: nn.ELU(0.5), nn.SELU, nn.CELU,
    lambda: nn.CELU(0.7), nn.Hardsigmoid, nn.Hardswish, lambda: nn.Softmax(-1),
    lambda: nn.LogSoftmax(-1), lambda: nn.Softmin(-1), nn.Tanh, nn.Tanh, nn.ReLU, nn.GELU,
)  # fmt: skip


# -- chains ---------------------------------------------------------------------------------------

LossChoice = Callable[["Chain"], tuple[Any, Tensor, str]]


class Chain:
    """A network being drawn: input x, steps so far, what they make of x."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.samples = rng.choice((1, 2, 2, 3, 3, 4, 5, 6, 8))
        self.steps: list[nn.Module] = []
        self.parts: list[str] = []
        self.x = torch.zeros(0)
        self.shape: tuple[int, ...] = ()  # of one sample

    def data(self, *size: int) -> None:
        """Inputs; sometimes with zeros, whole numbers or a sample twice."""
        x = torch.randn(self.samples, *size)
        kind = self.rng.random()
        if kind < 0.1:
            x = x * torch.randint(0, 2, x.shape)
        elif kind < 0.15:
            x = x.round()
        elif kind < 0.2:
            x = x[:1].repeat(self.samples, *[1] * len(size))
        elif kind < 0.22:
            x = torch.zeros_like(x)
        elif kind < 0.5:
            x = x.double() + 1e-9
        self.x, self.shape = x, size

    def words(self, vocabulary: int, length: int) -> None:
        self.x = torch.randint(0, vocabulary, (self.samples, length))

    def add(self, step: nn.Module, name: str = "") -> None:
        self.steps.append(step)
        self.parts.append(name or type(step).__name__)
        with torch.no_grad():
            x = self.x.float() if self.x.is_floating_point() else self.x
            self.shape = tuple(self.module()(x).shape[1:])
        if 0 in self.shape:
            raise ValueError("an output without entries")

    def module(self) -> Network:
        return Network(self.steps).eval()

    def activation(self) -> None:
        step = self.rng.choice(ACTIVATIONS)()
        if len(self.shape) > 2 and isinstance(step, nn.Softmax | nn.LogSoftmax | nn.Softmin):
            step = nn.Tanh()
        self.add(step)

    def grow(self, count: int) -> None:
        """Layers that fit the shape, activations between them."""
        for _ in range(count):
            if self.rng.random() < 0.5:
                self.activation()
            else:
                choices = {1: _on_vectors, 2: _on_series}.get(len(self.shape), _on_images)
                try:
                    choices(self)
                except (RuntimeError, ValueError):  # too small for the layer drawn
                    self.steps.pop()
                    self.parts.pop()

    def finish(self, choice: LossChoice) -> tuple[Any, Tensor, str]:
        """To a vector, a linear layer, and the loss with targets."""
        if len(self.shape) == 2 and self.rng.random() < 0.6:
            self.add(Pick(self.rng.choice(("first", "last", "mean"))), "pick")
        elif len(self.shape) > 1:
            self.add(nn.Flatten())
        return choice(self)

    def head(self, width: int) -> None:
        self.add(nn.Linear(self.shape[-1], width, bias=self.rng.random() < 0.8))


# -- readers -------------------------------------------------------------------------------------


def vectors(c: Chain) -> None:
    """Reads vectors by a linear layer."""
    c.data(c.rng.randint(1, 4))
    c.add(nn.Linear(c.shape[0], c.rng.randint(1, 4), bias=c.rng.random() < 0.8))


def _series(c: Chain) -> None:
    c.data(c.rng.randint(1, 3), c.rng.randint(1, 3))
    way = c.rng.choice(("linear", "lstm", "gru", "rnn", "time first", "token"))
    width, d = c.rng.randint(1, 2), c.shape[1]
    if way == "time first":
        c.add(TimeFirst(d, width))
    elif way == "token":
        c.add(ClassToken(*c.shape))
    elif way == "linear":
        c.add(nn.Linear(d, width + 1))
    else:
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[way]
        inner = kind(d, 1, batch_first=True, bidirectional=c.rng.random() < 0.2)
        c.add(Recurrent(inner), kind.__name__)


def _images(c: Chain) -> None:
    dims = c.rng.choice((1, 1, 2, 2, 3))
    channels = c.rng.choice((1, 2))
    c.data(channels, *[c.rng.randint(2, 4) for _ in range(dims)])
    kernel = [c.rng.randint(1, min(2, s)) for s in c.shape[1:]]
    transposed = c.rng.random() < 0.3
    options: dict[str, Any] = {
        "stride": c.rng.choice((1, 1, 2)), "padding": c.rng.choice((0, 0, 1)),
        "groups": c.rng.choice((1, 1, channels)), "bias": c.rng.random() < 0.7,
    }  # fmt: skip
    if not transposed:
        options["padding_mode"] = c.rng.choice(
            ("zeros", "zeros", "circular", "replicate", "reflect")
        )
        if options["stride"] == 1 and c.rng.random() < 0.2:
            options["padding"] = "same"
        if c.rng.random() < 0.3 and all(
            k == 2 and s > 2 for k, s in zip(kernel, c.shape[1:], strict=True)
        ):
            options["dilation"] = 2
    name = f"Conv{'Transpose' if transposed else ''}{dims}d"
    c.add(getattr(nn, name)(channels, 2, tuple(kernel), **options))


def _words(c: Chain) -> None:
    words = c.rng.randint(2, 4)
    c.words(words, c.rng.randint(1, 3))
    width = c.rng.randint(1, 3)
    way = c.rng.choice(("Embedding", "Embedding", "EmbeddingBag"))
    if way == "Embedding":
        c.add(nn.Embedding(words, width, padding_idx=c.rng.choice((None, None, 0))))
    else:
        c.add(nn.EmbeddingBag(words, width, mode=c.rng.choice(("sum", "mean"))))


def _siamese(c: Chain) -> None:
    c.data(2 * c.rng.randint(1, 2))
    c.add(Siamese(c.shape[0], c.rng.randint(1, 3), c.rng.random() < 0.5))


def _prototypes(c: Chain) -> None:
    c.data(c.rng.randint(1, 2))
    c.add(Prototypes(c.shape[0], c.rng.choice((2, c.samples))))


STARTS = (vectors, vectors, vectors, _series, _images, _images, _words, _siamese, _prototypes)


# -- layers --------------------------------------------------------------------------------------


def _norm(c: Chain, choices: tuple[nn.Module, ...]) -> nn.Module:
    step = c.rng.choice(choices)
    for b in step.buffers():
        if b.is_floating_point():
            b.uniform_(0.2, 2.0)
    return step


def _on_vectors(c: Chain) -> None:
    d = c.shape[0]
    c.add(c.rng.choice((
        lambda: nn.Linear(d, c.rng.randint(1, 4)), lambda: nn.Linear(d, c.rng.randint(1, 4)),
        lambda: nn.LayerNorm(d), lambda: nn.LayerNorm(d, elementwise_affine=False),
        lambda: nn.RMSNorm(d),
        lambda: _norm(c, (nn.BatchNorm1d(d), nn.BatchNorm1d(d, affine=False))),
        lambda: Tied(d), lambda: Residual(nn.Sequential(nn.Linear(d, d), nn.Tanh())),
        lambda: Residual(nn.Linear(d, d)), Exponent, lambda: nn.Dropout(0.5),
        lambda: nn.Bilinear(d, d, 1) if False else nn.Linear(d, d),
    ))())  # fmt: skip


def _on_series(c: Chain) -> None:
    d = c.shape[1]
    way = c.rng.choice(("explicit", "function", "module"))
    c.add(c.rng.choice((
        lambda: Attention(d, way, c.rng.random() < 0.5), lambda: nn.LayerNorm(d),
        lambda: Residual(Attention(d, way, c.rng.random() < 0.5)),
        lambda: nn.LayerNorm(tuple(c.shape)),
        lambda: nn.Linear(d, c.rng.randint(1, 3)), lambda: Residual(nn.Linear(d, d)),
        lambda: nn.GroupNorm(1, c.shape[0]), lambda: nn.MaxPool1d(2), lambda: nn.AvgPool1d(1),
        lambda: nn.TransformerEncoderLayer(
            d, 1, 1, 0.0, batch_first=True, norm_first=c.rng.random() < 0.5
        ),
    ))())  # fmt: skip


def _on_images(c: Chain) -> None:
    n, channels = len(c.shape) - 1, c.shape[0]
    two = n == 2

    def kind(name: str) -> Any:
        return getattr(nn, f"{name}{n}d")

    options: dict[str, Any] = {"stride": c.rng.choice((1, 2)), "ceil_mode": c.rng.random() < 0.3}
    c.add(c.rng.choice((
        lambda: kind("Conv")(channels, 1, 1), lambda: kind("AvgPool")(2, **options),
        lambda: kind("MaxPool")(2, **options), lambda: kind("AdaptiveAvgPool")(c.rng.randint(1, 2)),
        lambda: kind("AdaptiveMaxPool")(c.rng.randint(1, 2)),
        lambda: nn.GroupNorm(c.rng.choice((1, channels)), channels),
        lambda: _norm(c, (kind("BatchNorm")(channels),)),
        lambda: nn.InstanceNorm2d(channels, affine=True) if two else nn.GroupNorm(1, channels),
        lambda: nn.PixelShuffle(2) if two and channels % 4 == 0 else nn.PReLU(channels),
        lambda: nn.Upsample(scale_factor=2, mode="bilinear" if c.rng.random() < 0.5 else "nearest")
        if two else nn.Dropout(0.1),
        lambda: nn.ReflectionPad2d(1) if two else nn.Identity(),
        lambda: nn.ZeroPad2d(1) if two else nn.Tanh(),
        lambda: nn.Flatten(),
    ))())  # fmt: skip


# -- losses --------------------------------------------------------------------------------------


def _labels(c: Chain, classes: int) -> Tensor:
    y = torch.randint(0, classes, (c.samples,))
    return y.sort().values if c.rng.random() < 0.3 else y


def _classes(c: Chain) -> int:
    return c.rng.randint(2, 3)


def _plain_cross_entropy(c: Chain) -> tuple[Any, Tensor, str]:
    k = _classes(c)
    c.head(k)
    return (
        c.rng.choice(("cross_entropy", nn.CrossEntropyLoss(), F.cross_entropy)),
        _labels(c, k),
        "cross-entropy",
    )


def _rich_cross_entropy(c: Chain) -> tuple[Any, Tensor, str]:
    k = _classes(c)
    c.head(k)
    weight = torch.rand(k) + 0.1 if c.rng.random() < 0.6 else None
    smooth = c.rng.choice((0.0, 0.1))
    y = _labels(c, k)
    ignore = c.rng.choice((-100, 1, -100))
    if bool((y == ignore).all()):
        ignore = -100
    loss = nn.CrossEntropyLoss(weight=weight, label_smoothing=smooth, ignore_index=ignore)
    return loss, y, "cross-entropy, weights, smoothing, ignore_index"


def _probabilities(c: Chain) -> tuple[Any, Tensor, str]:
    k = _classes(c)
    c.head(k)
    loss = c.rng.choice(("cross_entropy", nn.CrossEntropyLoss(label_smoothing=0.2)))
    return loss, torch.rand(c.samples, k).softmax(1).double(), "cross-entropy, probabilities"


def _regression(c: Chain) -> tuple[Any, Tensor, str]:
    width = c.rng.randint(1, 2)
    c.head(width)
    loss = c.rng.choice((
        "mse", nn.MSELoss(), F.mse_loss, nn.L1Loss(), nn.HuberLoss(), nn.HuberLoss(delta=0.3),
        nn.SmoothL1Loss(), nn.SmoothL1Loss(beta=0.5), Pinball(), BatchVariance(),
        nn.PoissonNLLLoss(), nn.MSELoss(reduction="sum"),
    ))  # fmt: skip
    y = torch.randn(c.samples, width)
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    return loss, y.abs() if name == "PoissonNLLLoss" else y, name


def _masked(c: Chain) -> tuple[Any, Tensor, str]:
    c.head(2)
    y = torch.randn(c.samples, 2)
    y[torch.rand(y.shape) < 0.4] = -10.0
    return MaskedMean(), y, "masked mean"


def _binary(c: Chain) -> tuple[Any, Tensor, str]:
    width = c.rng.randint(1, 2)
    c.head(width)
    y = torch.randint(0, 2, (c.samples, width)).float()
    loss = c.rng.choice((
        nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss(pos_weight=torch.rand(width) + 0.5),
        nn.BCEWithLogitsLoss(weight=torch.rand(width) + 0.5), AfterSigmoid(nn.BCELoss()),
        nn.MultiLabelSoftMarginLoss(), nn.SoftMarginLoss(), nn.HingeEmbeddingLoss(),
    ))  # fmt: skip
    name = type(getattr(loss, "inner", loss)).__name__
    signed = name in ("SoftMarginLoss", "HingeEmbeddingLoss")
    return loss, 2 * y - 1 if signed else y, name


def _likelihood(c: Chain) -> tuple[Any, Tensor, str]:
    k = _classes(c)
    if c.rng.random() < 0.4:
        c.head(2)
        return GaussianNLL(), torch.randn(c.samples, 1), "GaussianNLLLoss"
    c.head(k)
    if c.rng.random() < 0.3:
        return nn.MultiMarginLoss(), _labels(c, k), "MultiMarginLoss"
    if c.rng.random() < 0.5:
        return AfterSoftmax(nn.NLLLoss()), _labels(c, k), "NLLLoss"
    log = c.rng.random() < 0.5
    y = torch.rand(c.samples, k).softmax(1).double()
    inner = nn.KLDivLoss(reduction=c.rng.choice(("batchmean", "mean")), log_target=log)
    return AfterSoftmax(inner), y.log() if log else y, "KLDivLoss"


LOSS_CHOICES: tuple[LossChoice, ...] = (
    _plain_cross_entropy, _plain_cross_entropy, _rich_cross_entropy, _probabilities, _regression,
    _regression, _masked, _binary, _likelihood,
)  # fmt: skip
