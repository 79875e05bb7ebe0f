"""Rounding rules of functions of one variable, branches and pooling (see `ball_rules`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from morsescape.hessian.ball_rules import (
    RULES,
    aten,
    is_float,
    mid_of,
    roundoff,
    rule,
    tiny,
    underflow,
)
from morsescape.hessian.balls import ULP, Ball, NoErrorRule, as_ball, gamma

TINY = tiny(torch.float64)

# -- functions of one variable ------------------------------------------------------------------


def _smooth(name: str, slope: Callable[[Ball, Tensor], Tensor], floor: bool = False) -> None:
    """Register f with |f(x') - f(x)| <= slope * rad on the ball; `floor`: f(0) may underflow."""

    def apply(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Ball:
        x = as_ball(x)
        out = operation(x.mid, *args, **kwargs)
        rad = 2 * ULP * roundoff(out) * out.abs().double()
        rad = rad + (tiny(out.dtype) if floor else underflow(out.dtype, x.upper != 0))
        if x.rad is not None:
            rad = rad + slope(x, out.double()) * x.rad
        return Ball(out, rad.nan_to_num(nan=math.inf, posinf=math.inf))

    RULES[name] = apply


def _bounded_below(x: Ball) -> Tensor:
    """Mid - rad, where that is at least half of mid; 0 (so that slopes are inf) elsewhere."""
    return torch.where(2 * x.radius() <= x.mid.double(), x.mid.double() - x.radius(), 0.0)


_smooth("exp", lambda x, y: (y + TINY) * _growth(x), floor=True)  # y may have underflowed
_smooth("expm1", lambda x, y: (x.mid.double() + x.radius()).exp() + TINY)
_smooth("sin", lambda x, y: torch.ones_like(y))
_smooth("cos", lambda x, y: torch.ones_like(y))
_smooth("atan", lambda x, y: torch.ones_like(y))
_smooth("tanh", lambda x, y: (1 - y.square() + x.radius() + 1e-15).clamp_max(1.0))
_smooth("sigmoid", lambda x, y: torch.full_like(y, 0.25), floor=True)
_smooth("erf", lambda x, y: torch.full_like(y, 2 / math.sqrt(math.pi)))
_smooth("sinh", lambda x, y: (x.upper).cosh())
_smooth("cosh", lambda x, y: (x.upper).sinh() + 1e-15)
_smooth("log", lambda x, y: 1 / _bounded_below(x))
_smooth("log1p", lambda x, y: 1 / _bounded_below(Ball(1 + x.mid.double(), x.rad)))
_smooth("sqrt", lambda x, y: 1 / _bounded_below(x).sqrt())
_smooth("rsqrt", lambda x, y: _bounded_below(x).pow(-1.5))


def _growth(x: Ball) -> Tensor:
    """(e^r - 1) / r, the mean slope of exp relative to its value at the centre."""
    r = x.radius().clamp_min(1e-3)
    return torch.expm1(r) / r


@rule("pow")
def _pow(run: Any, operation: Any, x: Any, exponent: Any) -> Any:
    if not is_float(x):
        return operation(x, exponent)
    x, n = as_ball(x), exponent
    out = operation(x.mid, n)
    if isinstance(n, Ball | Tensor) or n != int(n) or n < 0:
        raise NoErrorRule("pow with an exponent that is not a whole number >= 0")
    # (|x| + r)^n - |x|^n <= n r (|x| + r)^(n-1)
    rad = (2 * ULP + n) * roundoff(out) * out.abs().double()
    rad = rad + underflow(out.dtype, x.upper != 0)
    return Ball(out, rad if n == 0 else rad + n * x.radius() * x.upper.pow(int(n) - 1))


@rule("logsumexp")
def _logsumexp(run: Any, operation: Any, x: Any, dim: Any, keepdim: bool = False) -> Ball:
    x = as_ball(x)
    out = operation(x.mid, dim, keepdim)
    full = operation(x.mid, dim, True)
    top = x.mid.amax(dim, True)
    shift = (torch.exp(x.mid - full) * (x.mid - top).abs()).sum(dim, keepdim).double()
    terms, u = x.mid.numel() // max(out.numel(), 1), roundoff(out)
    inside = u * (2 * shift + 4 * ULP) + 2 * gamma(terms, out.dtype)
    outside = 2 * ULP * u * (full - top).abs() + u * full.abs()
    rad = inside + (outside if keepdim else outside.reshape(out.shape)).double()
    return Ball(out, rad if x.rad is None else rad + x.rad.amax(dim, keepdim))


# -- branches: the computed branch is kept ------------------------------------------------------


@rule("relu")
def _relu(run: Any, operation: Any, x: Any) -> Ball:
    x = as_ball(x)
    run.kinks += int((~(x.mag > x.radius())).sum())  # NaN too
    return Ball(operation(x.mid), x.radius() * (x.mid > 0))


@rule("gt", "ge", "lt", "le", "eq", "ne")
def _compare(run: Any, operation: Any, a: Any, b: Any) -> Tensor:
    out = operation(mid_of(a), mid_of(b))
    if isinstance(a, Ball) or isinstance(b, Ball):
        a, b = as_ball(a), as_ball(b)
        doubt = a.radius() + b.radius()
        run.kinks += int((~((a.mid - b.mid).abs() > doubt) & (doubt != 0)).sum())  # NaN too
    return out


@rule("where")
def _where(run: Any, operation: Any, condition: Tensor, a: Any, b: Any) -> Any:
    if not (is_float(a) or is_float(b)):
        return operation(condition, a, b)
    out = operation(condition, mid_of(a), mid_of(b))
    return Ball(out, torch.where(condition, as_ball(a).radius(), as_ball(b).radius()))


@rule("masked_fill")
def _masked_fill(run: Any, operation: Any, x: Any, mask: Tensor, value: Any) -> Ball:
    x = as_ball(x)
    return Ball(operation(x.mid, mask, mid_of(value)), x.radius().masked_fill(mask, 0.0))


@rule("amax", "amin")
def _extreme(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Ball:
    x = as_ball(x)
    out = operation(x.mid, *args, **kwargs)
    if run.ties:
        dims = args[0] if args else list(range(x.mid.ndim))
        top = operation(x.mid, dims, True)
        reach = x.radius() + aten.amax.default(x.radius(), dims, True)
        run.kinks += int((((x.mid - top).abs() <= reach).sum(dims) > 1).sum())
    return Ball(out, aten.amax.default(x.radius(), *args, **kwargs))


@rule("maximum", "minimum")
def _pick(run: Any, operation: Any, a: Any, b: Any) -> Ball:
    a, b = as_ball(a), as_ball(b)
    out = operation(a.mid, b.mid)
    run.kinks += int(((a.mid - b.mid).abs() <= a.radius() + b.radius()).sum())
    return Ball(out, torch.where(out == a.mid, a.radius(), b.radius()))


@rule("max_pool2d_with_indices")
def _max_pool(run: Any, operation: Any, x: Any, *args: Any) -> tuple[Ball, Tensor]:
    x = as_ball(x)
    out, index = operation(x.mid, *args)
    flat = x.radius().flatten(-2).gather(-1, index.flatten(-2)).view(index.shape)
    if run.ties:
        run.kinks += _rivals(x, out - flat, *args)
    return Ball(out, flat), index


def _rivals(x: Ball, least: Tensor, kernel: list[int], stride: Any = (), padding: Any = 0,
            dilation: Any = 1, ceil: bool = False) -> int:  # fmt: skip
    """Windows in which more than one entry can reach `least`, the lower end of the maximum."""
    upper = x.mid.double() + x.radius()
    (kh, kw), (ph, pw), (dh, dw) = _two(kernel), _two(padding), _two(dilation)
    sh, sw = _two(stride or kernel)
    if ceil or (dh, dw) != (1, 1):
        raise NoErrorRule("max_pool2d with dilation or ceil_mode")
    padded = torch.nn.functional.pad(upper, (pw, pw, ph, ph), value=-math.inf)
    windows = padded.unfold(-2, kh, sh).unfold(-2, kw, sw)
    return int(((windows >= least[..., None, None]).sum((-2, -1)) > 1).sum())


def _two(size: Any) -> tuple[int, int]:
    """A size per direction; one number stands for both."""
    pair = [size] if isinstance(size, int) else list(size)
    return (pair[0], pair[-1])


@rule("max_pool2d_with_indices_backward")
def _max_pool_back(run: Any, operation: Any, grad: Any, x: Any, *args: Any) -> Ball:
    grad, x = as_ball(grad), mid_of(x)
    kernel = math.prod(_two(args[0]))  # windows that meet in one entry, at most

    def back(g: Tensor) -> Tensor:
        return operation(g, x.to(g.dtype), *args)

    out = back(grad.mid)
    apart = _two(args[0]) == _two(args[1] or args[0]) and _two(args[3]) == (1, 1)
    rounding = 0.0 if apart else gamma(kernel, out.dtype) * back(grad.mag)
    return Ball(out, back(grad.radius()) + rounding)


@rule("avg_pool2d")
def _avg_pool(run: Any, operation: Any, x: Any, kernel: list[int], *args: Any) -> Ball:
    x = as_ball(x)
    out = operation(x.mid, kernel, *args)
    bound = gamma(math.prod(_two(kernel)) + 1, out.dtype) * x.mag + x.radius()
    some = operation(x.mag, kernel, *args) > 0
    return Ball(out, operation(bound, kernel, *args) + underflow(out.dtype, some))


@rule("avg_pool2d_backward")
def _avg_pool_back(run: Any, operation: Any, grad: Any, x: Any, kernel: list[int],
                   *args: Any) -> Ball:  # fmt: skip
    grad, x = as_ball(grad), mid_of(x)
    out = operation(grad.mid, x, kernel, *args)
    bound = gamma(math.prod(_two(kernel)) + 1, out.dtype) * grad.mag + grad.radius()
    some = operation(grad.mag, x.double(), kernel, *args) > 0
    return Ball(out, operation(bound, x.double(), kernel, *args) + underflow(out.dtype, some))


@rule("var")
def _var(run: Any, operation: Any, x: Any, dims: Any = None, correction: float = 1.0,
         keepdim: bool = False, **kwargs: Any) -> Ball:  # fmt: skip
    """Sum (x - mean)^2 / (n - correction), from the rules for its parts."""
    x = as_ball(x)
    dims = list(range(x.mid.ndim)) if dims is None else dims
    n = math.prod(x.mid.shape[d] for d in dims)
    total = RULES["sum"](run, aten.sum.dim_IntList, x, dims, True)
    mean = RULES["div"](run, aten.div.Tensor, total, n)
    off = RULES["sub"](run, aten.sub.Tensor, x, mean)
    square = RULES["mul"](run, aten.mul.Tensor, off, off)
    total = RULES["sum"](run, aten.sum.dim_IntList, square, dims, keepdim)
    return RULES["div"](run, aten.div.Tensor, total, n - (kwargs.get("correction", correction)))
