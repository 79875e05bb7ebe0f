"""A small model for each of torch's layers, activations and losses: model, loss, data."""

from __future__ import annotations

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
    Pick,
    Pinball,
    Prototypes,
    Recurrent,
    Residual,
    Siamese,
    Tied,
    TimeFirst,
)

Made = tuple[nn.Module, Any, tuple[Tensor, Tensor]]
Recipe = Callable[[], Made]
N = 6


def _chain(x: Tensor, *steps: nn.Module, loss: Any = "cross_entropy") -> Made:
    """The steps, a flattening and a linear layer to two classes."""
    body = nn.Sequential(*steps).double().eval()
    with torch.no_grad():
        out = body(x)
    width = out.flatten(1).shape[1]
    return nn.Sequential(*steps, nn.Flatten(), nn.Linear(width, 2)), loss, (x, torch.arange(N) % 2)


def _x(*size: int) -> Tensor:
    return torch.randn(N, *size, dtype=torch.float64)


def _on(size: tuple[int, ...], *steps: Callable[[], nn.Module]) -> Recipe:
    return lambda: _chain(_x(*size), *(s() for s in steps))


def _words(*steps: Callable[[], nn.Module]) -> Recipe:
    return lambda: _chain(torch.randint(0, 4, (N, 3)), *(s() for s in steps))


def _norm(kind: Any, channels: int) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        step = kind(channels)
        for b in step.buffers():
            if b.is_floating_point():
                b.uniform_(0.5, 2.0)
        return step

    return make


class Scaled(nn.Module):
    """A learned factor for each channel: what makes inputs depend on θ, and nothing else."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor.view(-1, *[1] * (x.ndim - 2))


class Pair(nn.Module):
    """A layer of two arguments on two linear maps of the input."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.a, self.b, self.inner = nn.Linear(3, 3), nn.Linear(3, 3), inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(self.a(x), self.b(x))
        return out if out.ndim > 1 else out[:, None]


class Cell(nn.Module):
    """Two steps of a recurrent cell."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        h: Any = None
        for t in range(2):
            h = self.inner(x[:, t], h) if h is not None else self.inner(x[:, t])
        return h[0] if isinstance(h, tuple) else h


class Calls(nn.Module):
    """A function of tensors as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class EncoderDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Transformer(2, 1, 1, 1, 2, 0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x, x)
        return out


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.TransformerDecoderLayer(2, 1, 2, 0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x, x)
        return out


def _images(dims: int) -> dict[str, Recipe]:
    """Convolutions, poolings and norms of one number of dimensions."""

    def kind(name: str) -> Any:
        return getattr(nn, f"{name}{dims}d")

    size = (2, *(4 if dims < 3 else 2,) * dims)
    conv, out = kind("Conv"), kind("ConvTranspose")

    def after(*steps: Callable[[], nn.Module]) -> Recipe:
        return _on(size, lambda: Scaled(2), *steps, nn.Tanh)

    return {
        f"Conv{dims}d": _on(size, lambda: conv(2, 1, 2), nn.Tanh),
        f"Conv{dims}d, stride 2, dilation 2": _on(
            size, lambda: conv(2, 1, 2, stride=2, dilation=2, padding=1), nn.Tanh
        ),
        f"Conv{dims}d, groups": after(lambda: conv(2, 2, 2, groups=2)),
        f"Conv{dims}d, padding same, circular": after(
            lambda: conv(2, 1, 2, padding="same", padding_mode="circular")
        ),
        f"ConvTranspose{dims}d": after(lambda: out(2, 1, 2, stride=2)),
        f"ConvTranspose{dims}d, groups": after(lambda: out(2, 2, 2, groups=2, padding=1)),
        f"AvgPool{dims}d": after(lambda: kind("AvgPool")(2)),
        f"AvgPool{dims}d, overlapping": after(lambda: kind("AvgPool")(2, stride=1, padding=1)),
        f"MaxPool{dims}d": after(lambda: kind("MaxPool")(2)),
        f"MaxPool{dims}d, overlapping": after(lambda: kind("MaxPool")(2, stride=1)),
        f"AdaptiveAvgPool{dims}d": after(lambda: kind("AdaptiveAvgPool")(2)),
        f"AdaptiveMaxPool{dims}d": after(lambda: kind("AdaptiveMaxPool")(2)),
        f"LPPool{dims}d": after(lambda: kind("LPPool")(2.0, 2)),
        f"BatchNorm{dims}d, evaluating": after(_norm(kind("BatchNorm"), 2)),
        f"InstanceNorm{dims}d": after(lambda: kind("InstanceNorm")(2, affine=True)),
        f"Dropout{dims}d, evaluating": after(lambda: kind("Dropout")(0.5)),
        f"ZeroPad{dims}d": after(lambda: kind("ZeroPad")(1)),
        f"ConstantPad{dims}d": after(lambda: kind("ConstantPad")(1, 0.5)),
        f"ReflectionPad{dims}d": after(lambda: kind("ReflectionPad")(1)),
        f"ReplicationPad{dims}d": after(lambda: kind("ReplicationPad")(1)),
        f"CircularPad{dims}d": after(lambda: kind("CircularPad")(1)),
        f"MaxUnpool{dims}d": after(lambda: Unpool(dims)),
    }


class Unpool(nn.Module):
    def __init__(self, dims: int) -> None:
        super().__init__()
        self.pool = getattr(nn, f"MaxPool{dims}d")(2, return_indices=True)
        self.unpool = getattr(nn, f"MaxUnpool{dims}d")(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.unpool(*self.pool(x))
        return out


def _vector(*steps: Callable[[], nn.Module]) -> Recipe:
    return _on((3,), lambda: nn.Linear(3, 4), *steps)


def _picture(channels: int, *steps: Callable[[], nn.Module]) -> Recipe:
    return _on((channels, 4, 4), lambda: Scaled(channels), *steps, nn.Tanh)


LAYERS: dict[str, Recipe] = {
    "Linear": _vector(nn.Tanh),
    "Bilinear": _on((3,), lambda: Pair(nn.Bilinear(3, 3, 2)), nn.Tanh),
    "Identity": _vector(nn.Identity),
    "Flatten, Unflatten": _vector(lambda: nn.Unflatten(1, (2, 2)), nn.Flatten, nn.Tanh),
    "Embedding": _words(lambda: nn.Embedding(4, 2), nn.Tanh),
    "Embedding, padding_idx": _words(lambda: nn.Embedding(4, 2, padding_idx=0), nn.Tanh),
    "EmbeddingBag": _words(lambda: nn.EmbeddingBag(4, 2), nn.Tanh),
    "LayerNorm": _vector(lambda: nn.LayerNorm(4), nn.Tanh),
    "RMSNorm": _vector(lambda: nn.RMSNorm(4), nn.Tanh),
    "GroupNorm": _picture(2, lambda: nn.GroupNorm(2, 2)),
    "LocalResponseNorm": _picture(2, lambda: nn.LocalResponseNorm(2)),
    "CrossMapLRN2d": _picture(2, lambda: nn.CrossMapLRN2d(2)),
    **_images(1), **_images(2), **_images(3),
    "FractionalMaxPool2d": _picture(1, lambda: nn.FractionalMaxPool2d(2, output_size=2)),
    "PixelShuffle": _picture(4, lambda: nn.PixelShuffle(2)),
    "PixelUnshuffle": _picture(1, lambda: nn.PixelUnshuffle(2)),
    "ChannelShuffle": _picture(2, lambda: nn.ChannelShuffle(2)),
    "Upsample, nearest": _picture(1, lambda: nn.Upsample(scale_factor=2)),
    "Upsample, bilinear": _picture(1, lambda: nn.Upsample(scale_factor=2, mode="bilinear")),
    "Upsample, bicubic": _picture(1, lambda: nn.Upsample(scale_factor=2, mode="bicubic")),
    "UpsamplingNearest2d": _picture(1, lambda: nn.UpsamplingNearest2d(scale_factor=2)),
    "UpsamplingBilinear2d": _picture(1, lambda: nn.UpsamplingBilinear2d(scale_factor=2)),
    "Fold, Unfold": _picture(
        1, lambda: nn.Unfold(2, stride=2), lambda: nn.Fold((4, 4), 2, stride=2)
    ),
    "CosineSimilarity": _on((3,), lambda: Pair(nn.CosineSimilarity())),
    "PairwiseDistance": _on((3,), lambda: Pair(nn.PairwiseDistance())),
    "Dropout, evaluating": _vector(lambda: nn.Dropout(0.5), nn.Tanh),
    "AlphaDropout, FeatureAlphaDropout, evaluating": _vector(
        nn.AlphaDropout, nn.FeatureAlphaDropout
    ),
    "RNN": _on((3, 2), lambda: Recurrent(nn.RNN(2, 2, batch_first=True))),
    "LSTM": _on((3, 2), lambda: Recurrent(nn.LSTM(2, 1, batch_first=True))),
    "LSTM, bidirectional": _on(
        (3, 2), lambda: Recurrent(nn.LSTM(2, 1, batch_first=True, bidirectional=True))
    ),
    "GRU": _on((3, 2), lambda: Recurrent(nn.GRU(2, 1, batch_first=True))),
    "RNNCell": _on((2, 2), lambda: Cell(nn.RNNCell(2, 2))),
    "LSTMCell": _on((2, 2), lambda: Cell(nn.LSTMCell(2, 1))),
    "GRUCell": _on((2, 2), lambda: Cell(nn.GRUCell(2, 1))),
    "attention by hand": _on((3, 2), lambda: Attention(2, "explicit", False)),
    "attention by hand, masked by -inf": _on((3, 2), lambda: Attention(2, "explicit", True)),
    "scaled_dot_product_attention": _on((3, 2), lambda: Attention(2, "function", False)),
    "scaled_dot_product_attention, causal": _on((3, 2), lambda: Attention(2, "function", True)),
    "MultiheadAttention": _on((3, 2), lambda: Attention(2, "module", False)),
    "MultiheadAttention, causal": _on((3, 2), lambda: Attention(2, "module", True)),
    "TransformerEncoderLayer": _on(
        (3, 2), lambda: nn.TransformerEncoderLayer(2, 1, 2, 0.0, batch_first=True)
    ),
    "TransformerEncoder": _on(
        (3, 2),
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(2, 1, 2, 0.0, batch_first=True, norm_first=True), 1,
            enable_nested_tensor=False,
        ),
    ),
    "TransformerDecoderLayer": _on((3, 2), Decoder),
    "TransformerDecoder, Transformer": _on((3, 2), EncoderDecoder),
}  # fmt: skip

ACTIVATIONS: dict[str, Recipe] = {
    **{
        name: _vector(getattr(nn, name))
        for name in (
            "ReLU LeakyReLU PReLU RReLU ReLU6 Hardtanh Hardshrink Softshrink Tanhshrink Softsign "
            "Tanh Sigmoid LogSigmoid SiLU Mish GELU Softplus ELU SELU CELU Hardsigmoid Hardswish"
        ).split()
    },
    "GELU, tanh": _vector(lambda: nn.GELU(approximate="tanh")),
    "ELU, alpha 0.5": _vector(lambda: nn.ELU(0.5)),
    "CELU, alpha 0.7": _vector(lambda: nn.CELU(0.7)),
    "Softplus, beta 2, threshold 1": _vector(lambda: nn.Softplus(2.0, 1.0)),
    "Threshold": _vector(lambda: nn.Threshold(0.1, 0.2)),
    "GLU": _vector(nn.GLU),
    "Softmax": _vector(lambda: nn.Softmax(-1)),
    "Softmin": _vector(lambda: nn.Softmin(-1)),
    "LogSoftmax": _vector(lambda: nn.LogSoftmax(-1)),
    "Softmax2d": _picture(2, nn.Softmax2d),
}


def _with_loss(loss: Callable[[], Any], target: str, width: int = 2) -> Recipe:
    def make() -> Made:
        x = _x(3)
        targets = {
            "labels": torch.arange(N) % width,
            "numbers": _x(width), "positive": _x(width).abs(), "half": _x(width // 2),
            "probabilities": _x(width).softmax(1), "bits": (_x(width) > 0).double(),
            "signs": _x(width).sign(), "sign": _x(1).sign()[:, 0],
            "multi": torch.tensor([[0, -1], [1, 0]] * (N // 2)),
        }  # fmt: skip
        model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, width))
        return model, loss(), (x, targets[target])

    return make


class Split:
    """A loss of two vectors, on the halves of the output."""

    def __init__(self, inner: nn.Module) -> None:
        self.inner = inner

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        parts = x.chunk(3 if "Triplet" in type(self.inner).__name__ else 2, -1)
        out: Tensor = self.inner(*parts) if len(parts) == 3 else self.inner(*parts, y)
        return out


def _weights(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


LOSSES: dict[str, Recipe] = {
    '"cross_entropy"': _with_loss(lambda: "cross_entropy", "labels"),
    '"mse"': _with_loss(lambda: "mse", "numbers"),
    "CrossEntropyLoss": _with_loss(nn.CrossEntropyLoss, "labels", 3),
    "CrossEntropyLoss, weights": _with_loss(
        lambda: nn.CrossEntropyLoss(weight=_weights(1.0, 4.0, 0.5)), "labels", 3
    ),
    "CrossEntropyLoss, float32 weights": _with_loss(
        lambda: nn.CrossEntropyLoss(weight=torch.tensor([1.0, 4.0, 0.5])), "labels", 3
    ),
    "CrossEntropyLoss, label_smoothing": _with_loss(
        lambda: nn.CrossEntropyLoss(label_smoothing=0.1), "labels", 3
    ),
    "CrossEntropyLoss, ignore_index": _with_loss(
        lambda: nn.CrossEntropyLoss(ignore_index=1), "labels", 3
    ),
    "CrossEntropyLoss, probabilities": _with_loss(nn.CrossEntropyLoss, "probabilities", 3),
    "NLLLoss": _with_loss(lambda: AfterSoftmax(nn.NLLLoss()), "labels", 3),
    "MSELoss": _with_loss(nn.MSELoss, "numbers"),
    "MSELoss, sum": _with_loss(lambda: nn.MSELoss(reduction="sum"), "numbers"),
    "L1Loss": _with_loss(nn.L1Loss, "numbers"),
    "HuberLoss": _with_loss(nn.HuberLoss, "numbers"),
    "SmoothL1Loss": _with_loss(nn.SmoothL1Loss, "numbers"),
    "BCEWithLogitsLoss": _with_loss(nn.BCEWithLogitsLoss, "bits"),
    "BCEWithLogitsLoss, pos_weight": _with_loss(
        lambda: nn.BCEWithLogitsLoss(pos_weight=_weights(2.0, 0.5)), "bits"
    ),
    "BCELoss": _with_loss(lambda: AfterSigmoid(nn.BCELoss()), "bits"),
    "GaussianNLLLoss": _with_loss(GaussianNLL, "half"),
    "PoissonNLLLoss": _with_loss(nn.PoissonNLLLoss, "positive"),
    "KLDivLoss": _with_loss(
        lambda: AfterSoftmax(nn.KLDivLoss(reduction="batchmean")), "probabilities"
    ),
    "SoftMarginLoss": _with_loss(nn.SoftMarginLoss, "signs"),
    "HingeEmbeddingLoss": _with_loss(nn.HingeEmbeddingLoss, "signs"),
    "MultiMarginLoss": _with_loss(nn.MultiMarginLoss, "labels", 3),
    "MultiLabelMarginLoss": _with_loss(nn.MultiLabelMarginLoss, "multi"),
    "MultiLabelSoftMarginLoss": _with_loss(nn.MultiLabelSoftMarginLoss, "bits"),
    "CosineEmbeddingLoss": _with_loss(lambda: Split(nn.CosineEmbeddingLoss()), "sign", 4),
    "MarginRankingLoss": _with_loss(lambda: Split(nn.MarginRankingLoss()), "half", 2),
    "TripletMarginLoss": _with_loss(lambda: Split(nn.TripletMarginLoss()), "half", 6),
    "TripletMarginWithDistanceLoss": _with_loss(
        lambda: Split(nn.TripletMarginWithDistanceLoss()), "half", 6
    ),
    "masked mean": _with_loss(MaskedMean, "numbers"),
    "quantile (pinball)": _with_loss(Pinball, "numbers"),
    "variance over the batch": _with_loss(BatchVariance, "numbers"),
}


def _call(function: Callable[[Tensor], Tensor]) -> Recipe:
    return _vector(lambda: Calls(function), nn.Tanh)


FUNCTIONS: dict[str, Recipe] = {
    "residual sum": _vector(lambda: Residual(nn.Sequential(nn.Linear(4, 4), nn.Tanh()))),
    "tied weights": _vector(lambda: Tied(4)),
    "time first": _on((2, 3), lambda: TimeFirst(3, 2)),
    "siamese, stacked": _on((4,), lambda: Siamese(4, 2, True)),
    "siamese, joined": _on((4,), lambda: Siamese(4, 2, False)),
    "learned prototypes": _on((2,), lambda: Prototypes(2, N)),
    "class token, positions": _on((3, 2), lambda: ClassToken(3, 2), lambda: Pick("first")),
    "learned exponent": _vector(Exponent),
    "detach": _call(lambda x: x + torch.tanh(x).detach()),
    "sin, cos": _call(lambda x: x.sin() * x.cos()),
    "exp, expm1": _call(lambda x: x.exp() + x.expm1()),
    "log, log1p": _call(lambda x: (x.square() + 1).log() + x.square().log1p()),
    "log2, log10, exp2": _call(lambda x: (x.square() + 1).log2() + x.exp2()),
    "sqrt, rsqrt": _call(lambda x: (x.square() + 1).sqrt() + (x.square() + 1).rsqrt()),
    "pow, fractional": _call(lambda x: (x.square() + 1) ** 0.75),
    "tan, atan, asinh": _call(lambda x: (x / 9).tan() + x.atan() + x.asinh()),
    "atan2": _call(lambda x: torch.atan2(x, x.square() + 1)),
    "erf, erfc": _call(lambda x: x.erf() + x.erfc().square()),
    "lgamma, digamma": _call(lambda x: (x.square() + 1).lgamma()),
    "abs, sign": _call(lambda x: x.abs() * x),
    "clamp": _call(lambda x: x.clamp(-0.5, 0.5)),
    "maximum, minimum": _call(lambda x: torch.maximum(x, -0.5 * x)),
    "where": _call(lambda x: torch.where(x > 0, x, x.exp() - 1)),
    "amax": _call(lambda x: x.amax(-1, keepdim=True) + x),
    "sort, topk": _call(lambda x: x.sort(-1).values),
    "cumsum, cumprod": _call(lambda x: x.cumsum(-1) + x.cumprod(-1)),
    "var, std": _call(lambda x: x / (1 + x.var(-1, keepdim=True))),
    "norm": _call(lambda x: x / (1 + x.norm(dim=-1, keepdim=True))),
    "logsumexp": _call(lambda x: x - x.logsumexp(-1, keepdim=True)),
    "cdist": _call(lambda x: torch.cdist(x[:, None], torch.ones(1, 4).double())[:, 0]),
    "einsum": _call(lambda x: torch.einsum("ni,nj->nij", x, x).flatten(1)),
    "matrix inverse, solve, det": _call(
        lambda x: torch.linalg.inv(torch.eye(2).double() * 9 + x.view(-1, 2, 2)).flatten(1)
    ),
    "fft": _call(lambda x: torch.fft.rfft(x).abs().square()),
    "interpolate": _call(
        lambda x: nn.functional.interpolate(x[:, None], scale_factor=2.0, mode="linear")[:, 0]
    ),
    "grid_sample": _call(
        lambda x: nn.functional.grid_sample(
            x.view(-1, 1, 2, 2), torch.zeros(len(x), 1, 2, 2).double() + 0.1, align_corners=False
        ).flatten(1)
    ),
    "floor, round": _call(lambda x: x + x.floor()),
}

_CONTAINER = "containers"
_SHAPES, _OTHER = "take their shape from the first input", "have no small model here"
LEFT_OUT = {
    **dict.fromkeys(
        ("Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict",
         "Container", "DataParallel", "RNNBase", "RNNCellBase"), _CONTAINER,
    ),
    **dict.fromkeys(("SyncBatchNorm",), "need a process group"),
    **dict.fromkeys(
        [f"Lazy{k}{d}d" for k in ("Conv", "ConvTranspose", "BatchNorm", "InstanceNorm")
         for d in (1, 2, 3)] + ["LazyLinear"], _SHAPES,
    ),
    **dict.fromkeys(
        ("AdaptiveLogSoftmaxWithLoss", "CTCLoss", "LinearCrossEntropyLoss", "FractionalMaxPool3d",
         "NLLLoss2d"), _OTHER,
    ),
}  # fmt: skip
