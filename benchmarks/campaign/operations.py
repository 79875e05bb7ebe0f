"""Operations on vectors, each as torch has it beside what it means: parts of random functions."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from flint import arb

from . import activations as A
from . import exact as X

T, E = torch.Tensor, np.ndarray


@dataclass(frozen=True)
class Step:
    """One operation with its constants drawn: on tensors, and on object arrays."""

    name: str
    torch: Callable[..., Any]
    exact: Callable[..., Any]
    operands: int = 1


def _pow(p: float) -> tuple[Any, Any]:
    return (lambda t: t.pow(p)), (lambda x: X.power(x, p))


def _erfcx(x: Any) -> Any:
    return X.exp(x * x) * X.erfc(x)


def _logit(x: Any) -> Any:
    return X.log(x / (1 - X.jet(x)))


def _sinc(x: Any) -> Any:
    if X.jet(x).v.is_zero():
        raise X.NoTruth("sinc at 0")
    return X.sin(arb.pi() * x) / (arb.pi() * x)


def _ndtr(x: Any) -> Any:
    return X.erfc(-x / arb(2).sqrt()) / 2


def _steps(rounded: Callable[[arb], arb], name: str, jumps: Callable[[arb], Any] = arb) -> Any:
    """A function with steps: constant, and undecided where `jumps` is a whole number."""

    def by_definition(x: Any) -> X.Jet:
        x = X.jet(x)
        out = rounded(x.v).unique_fmpz()
        if out is None or (x.moves and jumps(x.v).unique_fmpz() is not None):
            raise X.AtKink(name)
        return X.jet(int(out))

    return by_definition


def _trunc(v: arb) -> arb:
    return v.floor() if v > 0 else v.ceil()


def _to_zero(name: str) -> Any:
    """Towards zero, where there is no step."""
    return _steps(_trunc, name, lambda v: arb(0.5) if v.is_zero() else v)


def _sign(x: Any) -> X.Jet:
    if X.above(x, 0, "sign"):
        return X.jet(1)
    return X.jet(0) if X.jet(x).v.is_zero() else X.jet(-1)


UNARY: dict[str, tuple[Any, Any]] = {
    "exp": (torch.exp, X.exp), "log": (torch.log, X.log), "sin": (torch.sin, X.sin),
    "cos": (torch.cos, X.cos), "tan": (torch.tan, X.tan), "tanh": (torch.tanh, X.tanh),
    "sinh": (torch.sinh, X.sinh), "cosh": (torch.cosh, X.cosh), "atan": (torch.atan, X.atan),
    "asinh": (torch.asinh, X.asinh), "asin": (torch.asin, X.asin), "acos": (torch.acos, X.acos),
    "atanh": (torch.atanh, X.atanh), "acosh": (torch.acosh, X.acosh), "erf": (torch.erf, X.erf),
    "erfc": (torch.erfc, X.erfc), "sigmoid": (torch.sigmoid, X.sigmoid),
    "sqrt": (torch.sqrt, X.sqrt), "rsqrt": (torch.rsqrt, lambda x: 1 / X.sqrt(x)),
    "log1p": (torch.log1p, X.log1p), "expm1": (torch.expm1, X.expm1),
    "reciprocal": (torch.reciprocal, X.reciprocal), "neg": (torch.neg, lambda x: -X.jet(x)),
    "square": (torch.square, lambda x: x * x), "abs": (torch.abs, X.absolute),
    "relu": (torch.relu, A.relu), "softplus": (torch.nn.functional.softplus, A.softplus(1.0, 20.0)),
    "gelu": (torch.nn.functional.gelu, A.gelu),
    "silu": (torch.nn.functional.silu, A.POINTWISE[torch.nn.SiLU](None)),
    "mish": (torch.nn.functional.mish, A.mish), "elu": (torch.nn.functional.elu, A.elu(1.0)),
    "logsigmoid": (torch.nn.functional.logsigmoid, lambda x: -X.softplus(-X.jet(x))),
    "hardswish": (torch.nn.functional.hardswish, A.POINTWISE[torch.nn.Hardswish](None)),
    "log2": (torch.log2, lambda x: X.log(x) / arb.const_log2()),
    "log10": (torch.log10, lambda x: X.log(x) / arb.const_log10()),
    "exp2": (torch.exp2, lambda x: X.exp(x * arb.const_log2())),
    "pow 0.5": _pow(0.5), "pow 1.5": _pow(1.5), "pow -1": _pow(-1), "pow -2.5": _pow(-2.5),
    "pow 2": _pow(2), "pow 3": _pow(3), "pow 4": _pow(4), "pow 0": _pow(0), "pow 1": _pow(1),
    "lgamma": (torch.lgamma, X.lgamma), "sinc": (torch.sinc, _sinc), "logit": (torch.logit, _logit),
    "erfcx": (torch.special.erfcx, _erfcx), "ndtr": (torch.special.ndtr, _ndtr),
    "sign": (torch.sign, _sign),
    "float32 and back": (lambda t: t.float().double(), lambda x: X.jet(x)),
    "float16 and back": (lambda t: t.half().double(), lambda x: X.jet(x)),
    "floor": (torch.floor, _steps(arb.floor, "floor")),
    "ceil": (torch.ceil, _steps(arb.ceil, "ceil")),
    "round": (torch.round, _steps(lambda v: (v + 0.5).floor(), "round", lambda v: v + 0.5)),
    "trunc": (torch.trunc, _to_zero("trunc")),
    "long": (lambda t: t.long().double(), _to_zero("long")),
    "int of detached": (lambda t: t.detach().int().double(), _to_zero("int")),
    "detach": (torch.detach, X.jet),
    "frac": (torch.frac, lambda x: x - _to_zero("frac")(x)),
}  # fmt: skip
ROUGH = frozenset(  # torch differentiates them otherwise than f, or not everywhere
    "abs relu elu hardswish sign floor ceil round trunc long detach frac".split()
) | {"int of detached", "float32 and back", "float16 and back"}


def _atan2(y: Any, x: Any) -> Any:
    y, x = X.jet(y), X.jet(x)
    if not (abs(y.v) > abs(x.v)):
        base = X.atan(y / x)
        if x.v > 0:
            return base
        if y.v.is_zero():
            raise X.NoTruth("atan2 on its cut, where the sign of zero decides")
        return base + arb.pi() if X.above(y, 0, "atan2") else base - arb.pi()
    side = arb.pi() / 2 if y.v > 0 else -arb.pi() / 2
    return side - X.atan(x / y)


BINARY: dict[str, tuple[Any, Any]] = {
    "add": (torch.add, lambda a, b: a + b), "sub": (torch.sub, lambda a, b: a - b),
    "mul": (torch.mul, lambda a, b: a * b), "div": (torch.div, lambda a, b: a / X.jet(b)),
    "maximum": (torch.maximum, lambda a, b: X.largest([a, b])),
    "minimum": (torch.minimum, lambda a, b: X.smallest([a, b])),
    "atan2": (torch.atan2, _atan2),
    "hypot": (torch.hypot, lambda a, b: X.sqrt(a * a + b * b)),
    "logaddexp": (torch.logaddexp, lambda a, b: X.logsumexp([a, b])),
    "pow": (
        lambda a, b: torch.pow(a.abs() + 0.5, b),
        lambda a, b: X.power(X.absolute(a) + 0.5, X.jet(b)),
    ),
    "where": (
        lambda a, b: torch.where(a > b, a * b, a - b),
        lambda a, b: X.jet(a * b) if X.above(X.jet(a) - b, 0, "where") else X.jet(a) - b,
    ),
    "xlogy": (lambda a, b: torch.xlogy(a, b), lambda a, b: a * X.log(b)),
    "lerp": (lambda a, b: torch.lerp(a, b, 0.3), lambda a, b: a + 0.3 * (b - a)),
    "alpha": (lambda a, b: torch.sub(a, b, alpha=0.7), lambda a, b: a - X.number(0.7) * b),
}  # fmt: skip


def draw(rng: random.Random, smooth: bool) -> Step:
    """A step, its constants from `rng`."""
    kind = rng.random()
    if kind < 0.42:
        name = rng.choice([n for n in UNARY if not (smooth and n in ROUGH)])
        t, e = UNARY[name]
        return Step(name, t, X.elementwise(e))
    if kind < 0.68:
        rough = ("maximum", "minimum", "where", "pow")
        name = rng.choice([n for n in BINARY if not (smooth and n in rough)])
        t, e = BINARY[name]
        return Step(name, *_same_length(t, X.elementwise(e)), 2)
    return rng.choice(_SPECIAL[:14] if smooth else _SPECIAL)(rng)


def named(name: str, rng: random.Random) -> Step:
    """The step of this name."""
    if name in UNARY:
        return Step(name, UNARY[name][0], X.elementwise(UNARY[name][1]))
    if name in BINARY:
        return Step(name, *_same_length(BINARY[name][0], X.elementwise(BINARY[name][1])), 2)
    while True:
        step = rng.choice(_SPECIAL)(rng)
        if step.name == name:
            return step


def _same_length(t: Any, e: Any) -> tuple[Any, Any]:
    def cut(f: Any) -> Any:
        return lambda a, b: f(a[: min(len(a), len(b))], b[: min(len(a), len(b))])

    return cut(t), cut(e)


# -- with constants of their own ------------------------------------------------------------------


def _scaled(rng: random.Random) -> Step:
    c = rng.choice((0.1, -1.0, 2.0, 1 / 3, 1e-3, 3, -2, 1e3))
    return Step(f"times {c:.3g}", lambda t: t * c, lambda x: x * X.number(c))


def _shifted(rng: random.Random) -> Step:
    c = rng.choice((0.1, -1.0, 2.0, 0.7, 3))
    return Step(f"plus {c:.3g}", lambda t: c + t, lambda x: x + X.number(c))


def _large_integers(rng: random.Random) -> Step:
    big, small = 2**53 + 1, 2**53
    return Step(
        "integers beyond 2^53",
        lambda t: t * big - t * small, lambda x: x * X.number(big) - x * X.number(small),
    )  # fmt: skip


def _float32_constant(rng: random.Random) -> Step:
    c = torch.tensor([rng.choice((0.1, 1.0, 0.5))])
    return Step(
        "float32 constant", lambda t: (t[0] - c).double(), lambda x: x[:1] - X.array(c.double())
    )


def _there_and_back(rng: random.Random) -> Step:
    c = rng.choice((1.0, 3.0, 1e3))
    return Step("plus and minus", lambda t: (t + c) - c, lambda x: x)


def _rounded_to_32(rng: random.Random) -> Step:
    return Step("float32 and back", UNARY["float32 and back"][0], lambda x: x)


def _clamped(rng: random.Random) -> Step:
    low, high = sorted((rng.choice((-1.0, 0.0, -0.3)), rng.choice((0.5, 1.0, 2.0))))
    return Step(
        "clamp",
        lambda t: t.clamp(low, high),
        X.elementwise(lambda x: X.pieces(
            x, "clamp", lambda x: X.jet(low), low, lambda x: x, high, lambda x: X.jet(high)
        )),
    )  # fmt: skip


def _index(rng: random.Random) -> Step:
    picks = [rng.randrange(8) for _ in range(rng.randint(1, 4))]
    return Step(
        "index",
        lambda t: t[torch.tensor([p % len(t) for p in picks])],
        lambda x: x[[p % len(x) for p in picks]],
    )


def _moved(rng: random.Random) -> Step:
    name = rng.choice(("roll", "flip", "slice", "stride", "repeat", "pad", "double transpose"))
    ways: dict[str, tuple[Any, Any]] = {
        "roll": (lambda t: t.roll(1), lambda x: np.roll(x, 1)),
        "flip": (lambda t: t.flip(0), lambda x: x[::-1]),
        "slice": (lambda t: t[: max(1, len(t) - 1)], lambda x: x[: max(1, len(x) - 1)]),
        "stride": (lambda t: t[::2], lambda x: x[::2]),
        "repeat": (lambda t: t.repeat(2)[:6], lambda x: np.tile(x, 2)[:6]),
        "pad": (
            lambda t: torch.nn.functional.pad(t, (1, 0), value=0.25)[:6],
            lambda x: np.concatenate([X.array([0.25]), x])[:6],
        ),
        "double transpose": (
            lambda t: t.expand(2, -1).t().reshape(-1)[:6], lambda x: np.repeat(x, 2)[:6]
        ),
    }  # fmt: skip
    return Step(name, *ways[name])


def _scattered(rng: random.Random) -> Step:
    name = rng.choice(("scatter_add", "index_put accumulate", "scatter", "index_add"))
    slots = [rng.randrange(4) for _ in range(8)]
    if name == "scatter":
        slots = rng.sample(range(8), 8)

    def by_torch(t: T) -> T:
        size, at = (8 if name == "scatter" else 4), torch.tensor(slots[: len(t)])
        zero = torch.zeros(size, dtype=torch.float64)
        if name == "scatter_add":
            return zero.scatter_add(0, at, t)[:6]
        if name == "scatter":
            return zero.scatter(0, at, t)[:6]
        if name == "index_add":
            return zero.index_add(0, at, t)[:6]
        return zero.index_put((at,), t, accumulate=True)[:6]

    def by_definition(x: E) -> E:
        out = np.full(8 if name == "scatter" else 4, X.jet(0), dtype=object)
        for k, value in enumerate(x):
            out[slots[k]] = out[slots[k]] + value
        return out[:6]

    return Step(name, by_torch, by_definition)


def _scatter_twice(rng: random.Random) -> Step:
    """The last write wins in the value, and torch's derivative is of another function."""

    def by_definition(x: E) -> E:
        out = np.full(2, X.jet(0), dtype=object)
        out[0] = X.jet(x[-1])
        return out

    def by_torch(t: T) -> T:
        at = torch.zeros(len(t), dtype=torch.long)
        return torch.zeros(2, dtype=torch.float64).scatter(0, at, t)

    return Step("scatter, index twice", by_torch, by_definition)


def _matrix(rng: random.Random) -> Step:
    rows = torch.tensor([[rng.choice((0.0, 1.0, -0.5, 0.3, rng.gauss(0, 1))) for _ in range(6)]
                         for _ in range(3)], dtype=torch.float64)  # fmt: skip
    return Step(
        "matrix",
        lambda t: rows[:, : len(t)] @ t,
        lambda x: X.wrapped(X.array(rows[:, : len(x)]).dot(x)),
    )


def _norm(x: E) -> Any:
    return X.sqrt(X.total([v * v for v in x]))


def _variance(x: E) -> Any:
    m = X.total(x) * (X.number(1) / len(x))
    return X.total([(v - m) * (v - m) for v in x]) * (X.number(1) / (len(x) - 1))


def _product(x: E) -> Any:
    out = X.jet(x[0])
    for v in x[1:]:
        out = out * v
    return out


def _running(x: E, how: Callable[[Any, Any], Any]) -> E:
    out = [x[0]]
    for v in x[1:]:
        out.append(how(out[-1], v))
    return np.array(out, dtype=object)


def _reduced(rng: random.Random) -> Step:
    ways: dict[str, tuple[Any, Any]] = {
        "sum": (torch.sum, X.total),
        "mean": (torch.mean, lambda x: X.total(x) * (X.number(1) / len(x))),
        "prod": (torch.prod, _product),
        "norm": (torch.linalg.vector_norm, _norm),
        "logsumexp": (lambda t: t.logsumexp(0), X.logsumexp),
        "amax": (torch.amax, lambda x: X.largest(list(x), "amax")),
        "max": (torch.max, lambda x: X.largest(list(x), "max")),
        "median": (lambda t: t.sort().values[0], lambda x: X.smallest(list(x), "sort")),
        "var": (
            lambda t: torch.cat([t, t[:1] + 1]).var(),
            lambda x: _variance(np.append(x, x[0] + 1)),
        ),
        "std": (
            lambda t: torch.cat([t, t[:1] + 1]).std(),
            lambda x: X.sqrt(_variance(np.append(x, x[0] + 1))),
        ),
        "dot": (lambda t: torch.dot(t, t.flip(0)), lambda x: X.total(x * x[::-1])),
    }  # fmt: skip
    name = rng.choice(list(ways))
    t, e = ways[name]
    return Step(name, lambda v: t(v).reshape(1), lambda v: np.array([X.jet(e(v))], dtype=object))


def _lower_outer(x: E) -> E:
    pairs = [(a * b, j <= i) for i, a in enumerate(x[:2]) for j, b in enumerate(x)]
    return np.array([v if kept else X.jet(0) for v, kept in pairs], dtype=object)[:6]


def _vector(rng: random.Random) -> Step:
    ways: dict[str, tuple[Any, Any]] = {
        "softmax": (lambda t: t.softmax(0), lambda x: X.along(X.softmax, x, 0)),
        "log_softmax": (lambda t: t.log_softmax(0), lambda x: X.along(A.log_softmax, x, 0)),
        "cumsum": (lambda t: t.cumsum(0), lambda x: _running(x, lambda a, b: a + b)),
        "cumprod": (lambda t: t.cumprod(0), lambda x: _running(x, lambda a, b: a * b)),
        "outer": (
            lambda t: torch.outer(t[:2], t).tril().reshape(-1)[:6],
            _lower_outer,
        ),
        "diag": (lambda t: torch.diag(t).sum(0), lambda x: x),
        "unfold": (
            lambda t: t.unfold(0, min(2, len(t)), 1).prod(-1),
            lambda x: x[:-1] * x[1:] if len(x) > 1 else x,
        ),
        "pairwise": (
            lambda t: (t[:, None] - t[None]).square().sum(0),
            lambda x: np.array([X.total([(b - a) * (b - a) for b in x]) for a in x], dtype=object),
        ),
    }  # fmt: skip
    name = rng.choice(list(ways))
    return Step(name, *ways[name])


def _joined(rng: random.Random) -> Step:
    return Step(
        "cat", lambda a, b: torch.cat([a, b])[:6], lambda a, b: np.concatenate([a, b])[:6], 2
    )


_SPECIAL = (
    _scaled, _shifted, _index, _moved, _scattered, _matrix, _reduced, _reduced, _vector, _vector,
    _joined, _there_and_back, _rounded_to_32, _rounded_to_32, _clamped, _large_integers,
    _float32_constant, _scatter_twice,
)  # fmt: skip


def usable(t: torch.Tensor, extreme: bool) -> bool:
    """Whether a vector is worth going on with."""
    if not bool(t.isfinite().all()) or t.numel() == 0:
        return False
    return extreme or float(t.abs().max()) < 1e4
