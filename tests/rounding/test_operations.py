"""Functions of a vector, one for nearly each operation that torch offers: proved, or by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from function_hessian import function_hessian
from morsescape.rounding.written_out import written_out

Function = Callable[[Tensor], Tensor]


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def weighed(z: Tensor) -> Tensor:
    """A scalar that sees every entry, and its square."""
    weights = torch.linspace(0.5, 1.5, z.numel(), dtype=torch.float64).view(z.shape)
    return (z * weights + 0.3 * z**2).sum()


POINT = noise(6, seed=5)
ROW, SQUARE, IMAGE = noise(6), noise(2, 3), noise(1, 2, 5, 5, seed=4)
CUBE = noise(2, 2, 2)
PLACES = torch.tensor([0, 2, 2])
LOWER = torch.ones(2, 2, dtype=torch.bool).tril()
sdpa = F.scaled_dot_product_attention
CAUSAL = torch.ones(3, 3, dtype=torch.bool).tril()


def two(v: Tensor) -> Tensor:
    return v.view(2, 3)


def image(v: Tensor) -> Tensor:
    return torch.sin(F.conv2d(IMAGE, v[:4].view(2, 2, 1, 1)) * 2 + v[4])


def attention(mask: Callable[[Tensor], Tensor]) -> Function:
    def scores(v: Tensor) -> Tensor:
        q = torch.sin(torch.outer(v[:3], v[3:]))
        return mask(q @ q.t()).softmax(-1) @ q

    return scores


PROVED: dict[str, Function] = {
    # one variable
    "exp2": torch.exp2,
    "log2": lambda v: (v**2 + 0.1).log2(),
    "tan": lambda v: (v * 0.3).tan(),
    "log10": lambda v: (v**2 + 0.1).log10(),
    "asin": lambda v: (v * 0.2).asin(),
    "acos": lambda v: (v * 0.2).acos(),
    "erfc": torch.erfc,
    "erfcx": torch.special.erfcx,
    "log of the normal distribution": lambda v: torch.special.log_ndtr(v * 3),
    "abs": torch.abs,
    "asinh": torch.asinh,
    "acosh": lambda v: (2 + v**2).acosh(),
    "sinc": torch.sinc,
    "atanh": lambda v: (v * 0.2).atanh(),
    "sign": lambda v: v.sign() * v**2,
    "logit": lambda v: v.sigmoid().logit(),
    "frac": lambda v: v.frac() ** 2,
    "floor": lambda v: v.floor() * v**2,
    "xlogy": lambda v: torch.xlogy(v**2 + 1, v**2 + 1),
    "entr": lambda v: torch.special.entr(v**2 + 0.1),
    "nan": lambda v: v.isnan() * v + v**2,
    # activations
    "leaky": lambda v: F.leaky_relu(v, 0.5),
    "relu6": lambda v: F.relu6(v * 5),
    "hardtanh": F.hardtanh,
    "hardswish": lambda v: F.hardswish(v * 3),
    "glu": lambda v: F.glu(v, 0),
    "hardsigmoid": lambda v: F.hardsigmoid(v * 3),
    "elu": lambda v: F.elu(v, 0.7),
    "selu": F.selu,
    "celu": lambda v: F.celu(v, 0.7),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": lambda v: F.softplus(v * 9, 3.0, 5.0),
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "logsigmoid": F.logsigmoid,
    "hardshrink": F.hardshrink,
    "softshrink": F.softshrink,
    "threshold": lambda v: F.threshold(v, 0.1, 0.3),
    "softmin": lambda v: F.softmin(v, 0),
    "prelu": lambda v: F.prelu(v[1:], v[0]),
    "rrelu": lambda v: F.rrelu(v, training=False),
    "gelu": F.gelu,
    "normalize": lambda v: F.normalize(v.view(3, 2), dim=1),
    # powers, norms, products and sums
    "pow": lambda v: (v**2 + 1) ** 0.37,
    "negative": lambda v: (v**2 + 1) ** -2,
    "root": lambda v: (v**2 + 1) ** 0.5,
    "to a power": lambda v: (v[:3] ** 2 + 1) ** v[3:],
    "base": lambda v: 2.0**v,
    "x^x": lambda v: (v**2 + 0.3) ** (v**2 + 0.3),
    "atan2": lambda v: torch.atan2(v[:3], v[3:]),
    "hypot": lambda v: torch.hypot(v[:3], v[3:]),
    "logaddexp": lambda v: torch.logaddexp(v[:3], v[3:]),
    "norm": lambda v: v.norm(),
    "norm 1": lambda v: v.norm(p=1),
    "norm 3": lambda v: v.norm(p=3),
    "norm inf": lambda v: v.norm(p=float("inf")),
    "cumsum": lambda v: v.cumsum(0),
    "cumprod": lambda v: v.cumprod(0),
    "prod": lambda v: v.prod(),
    "prod 1": lambda v: two(v).prod(1),
    "var": lambda v: two(v).var(1),
    "std": lambda v: v.std(),
    "cdist": lambda v: torch.cdist(two(v), SQUARE),
    "logsumexp": lambda v: two(v).logsumexp((0, 1)),
    "einsum": lambda v: torch.einsum("ij,kj->ik", two(v), two(v)),
    "baddbmm": lambda v: torch.baddbmm(v[:4].view(1, 2, 2), v.view(1, 2, 3), v.view(1, 3, 2)),
    "addcdiv": lambda v: torch.addcdiv(v, v, v**2 + 1, value=0.3),
    "lerp": lambda v: torch.lerp(v[:3], v[3:], v[1:4]),
    "clamp": lambda v: v.clamp(-0.5, 0.7) ** 2,
    "clamp min": lambda v: v.clamp(min=0.1),
    "clamp to": lambda v: torch.clamp(v, -0.5 * torch.ones(6).double(), ROW.abs()),
    "bilinear": lambda v: F.bilinear(v[:2], v[2:4], CUBE, v[4:]),
    # order
    "amax": lambda v: image(v).amax((2, 3)),
    "amin": lambda v: image(v).amin(1),
    "max": lambda v: v.max(),
    "max 1": lambda v: image(v).max(2).values,
    "sort": lambda v: v.sort()[0],
    "topk": lambda v: v.topk(2)[0],
    "median": lambda v: v.median(0)[0],
    "kthvalue": lambda v: v.kthvalue(2)[0],
    "aminmax": lambda v: v.aminmax()[0],
    "cummax": lambda v: v.cummax(0)[0],
    "quantile": lambda v: v.quantile(0.3),
    "minimum": lambda v: torch.minimum(v, ROW),
    # moves
    "roll": lambda v: v.roll(2) * v,
    "flip": lambda v: v.flip(0) * v,
    "rot90": lambda v: two(v).rot90() * 2,
    "meshgrid": lambda v: torch.meshgrid(v[:2], v[2:], indexing="ij")[1],
    "tril": lambda v: v[:4].view(2, 2).tril(),
    "pixel shuffle": lambda v: F.pixel_shuffle(v[:4].view(1, 4, 1, 1), 2),
    "unfold": lambda v: F.unfold(v.view(1, 1, 2, 3), 2),
    "fold": lambda v: F.fold(v.view(1, 2, 3), (4, 1), (2, 1)),
    "repeat": lambda v: v.repeat_interleave(2),
    "reflect": lambda v: F.pad(v.view(1, 1, 2, 3), (1, 2, 1, 0), mode="reflect"),
    "replicate": lambda v: F.pad(v.view(1, 1, 2, 3), (1, 2, 1, 1), mode="replicate"),
    "circular": lambda v: F.pad(v.view(1, 1, 2, 3), (1, 2, 1, 1), mode="circular"),
    "index add": lambda v: torch.zeros(4).double().index_add(0, PLACES, v[:3]),
    "embedding": lambda v: F.layer_norm(F.embedding(PLACES, v.view(3, 2)), (2,)),
    # pooling and interpolation
    "avg 1": lambda v: F.avg_pool1d(image(v).flatten(2), 3, 2, 1),
    "avg 3": lambda v: F.avg_pool3d(image(v).unsqueeze(2), (1, 2, 2)),
    "avg 2": lambda v: F.avg_pool2d(image(v), 3, 2, 1, True, False),
    "adaptive 1": lambda v: F.adaptive_avg_pool1d(image(v).flatten(2), 3),
    "adaptive 2": lambda v: F.adaptive_avg_pool2d(image(v), 3),
    "lp": lambda v: F.lp_pool2d(image(v), 2.0, 2),
    "max 1d": lambda v: F.max_pool1d(image(v).flatten(2), 3, 2, 1),
    "max 2d": lambda v: F.max_pool2d(image(v), 2, 2, 0, 1, True),
    "max 3d": lambda v: F.max_pool3d(image(v).unsqueeze(2), (1, 2, 2)),
    "adaptive max": lambda v: F.adaptive_max_pool2d(image(v), 2),
    "nearest": lambda v: F.interpolate(v.view(1, 1, 2, 3), scale_factor=2),
    "linear": lambda v: F.interpolate(v.view(1, 1, 6), size=9, mode="linear"),
    "bilinear up": lambda v: F.interpolate(
        v.view(1, 1, 2, 3), size=(3, 5), mode="bilinear", align_corners=True
    ),
    # attention
    "plain": attention(lambda s: s),
    "fill": attention(lambda s: s.masked_fill(~CAUSAL, -torch.inf)),
    "add": attention(lambda s: s + torch.zeros(3, 3).masked_fill(~CAUSAL, -torch.inf).double()),
    "choose": attention(lambda s: torch.where(CAUSAL, s, -torch.inf)),
    "sdpa": lambda v: sdpa(two(v), two(v) * 2, two(v) * 3, attn_mask=LOWER),
    "sdpa causal": lambda v: sdpa(two(v), two(v), v.view(2, 3).sin(), is_causal=True),
}

BY_NAME: dict[str, tuple[Function, str]] = {
    "lgamma": (lambda v: torch.lgamma(v**2 + 1), "lgamma"),
    "digamma": (lambda v: torch.digamma(v**2 + 1), "digamma"),
    "scatter_reduce": (
        lambda v: torch.zeros(5).double().scatter_reduce(0, PLACES, v[:3], "mean"),
        "scatter_reduce",
    ),
    "fft": (lambda v: torch.fft.rfft(v).real, "_fft_r2c"),
    "remainder": (lambda v: torch.remainder(v, 0.7), "remainder"),
    "eigh": (lambda v: torch.linalg.eigvalsh(two(v) @ two(v).t()), "_linalg_eigh"),
    "bicubic": (
        lambda v: F.interpolate(v.view(1, 1, 2, 3), scale_factor=2, mode="bicubic"),
        "bicubic",
    ),
}


def test_against_double_backward() -> None:
    for name, function in PROVED.items():
        whole = lambda v, f=function: weighed(f(v))  # noqa: E731
        with written_out():
            truth = torch.autograd.functional.hessian(whole, POINT)
        h = function_hessian(whole, POINT)
        error = float((h.matrix - truth).abs().max())
        assert h.estimate is None, (name, h.estimate)
        assert h.kinks == 0, name
        assert error <= h.radius + 1e-14 * float(truth.abs().max()), (name, error, h.radius)
        assert h.radius <= 1e-8 * max(1.0, float(truth.abs().max())), (name, h.radius)


@pytest.mark.parametrize("name", BY_NAME)
def test_what_has_no_rule_is_named(name: str) -> None:
    function, operation = BY_NAME[name]
    h = function_hessian(lambda v: weighed(function(v)), POINT)
    assert operation in str(h.estimate)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even")
@pytest.mark.parametrize(
    ("function", "dims"),
    [(F.conv1d, 1), (F.conv2d, 2), (F.conv3d, 3), (F.conv_transpose1d, 1),
     (F.conv_transpose2d, 2), (F.conv_transpose3d, 3)],
)  # fmt: skip
def test_convolutions(function: Callable[..., Tensor], dims: int) -> None:
    x, size = noise(1, 2, *(5, 4, 3)[:dims], seed=4), 2**dims
    transposed = "transpose" in function.__name__
    for groups, options in (
        (1, {}),
        (2, {"stride": 2, "padding": 1, "dilation": 2}),
        (
            1,
            {"stride": 3, "padding": 1, "output_padding": 2} if transposed else {"padding": "same"},
        ),
    ):
        shape = (2, 2 // groups, *[2] * dims)

        def convolved(v: Tensor, s: tuple[int, ...] = shape, g: int = groups, o=options) -> Tensor:
            count = torch.Size(s).numel()
            inputs = torch.sin(x * v[count] + v[count + 1])
            return weighed(torch.tanh(function(inputs, v[:count].view(s), groups=g, **o)))

        v = noise(4 * size // groups + 2, seed=7)
        h, truth = function_hessian(convolved, v), torch.autograd.functional.hessian(convolved, v)
        assert h.estimate is None
        assert float((h.matrix - truth).abs().max()) <= h.radius
        assert h.radius < 1e-10


def test_torchs_second_derivative_of_weight_norm_is_not_taken_over() -> None:
    def normed(v: Tensor) -> Tensor:
        return weighed(torch._weight_norm(v[:4].view(2, 2), v[4:].view(2, 1), 0) @ SQUARE)

    h, step = function_hessian(normed, POINT), 1e-4
    moves = step * torch.eye(6).double()
    for i in range(6):
        ahead = torch.autograd.functional.jacobian(normed, POINT + moves[i])
        behind = torch.autograd.functional.jacobian(normed, POINT - moves[i])
        assert torch.allclose((ahead - behind) / (2 * step), h.matrix[i], atol=1e-6)


@pytest.mark.parametrize("option", [{"padding_idx": 0}, {"scale_grad_by_freq": True}])
def test_an_embedding_is_differentiated_as_what_it_computes(option: dict[str, object]) -> None:
    def of_all(v: Tensor, **options: object) -> Tensor:
        return weighed(torch.sin(F.embedding(PLACES, v.view(3, 2), **options)))

    h = function_hessian(lambda v: of_all(v, **option), POINT)
    truth = torch.autograd.functional.hessian(of_all, POINT)
    assert h.estimate is None
    assert float((h.matrix - truth).abs().max()) <= h.radius
