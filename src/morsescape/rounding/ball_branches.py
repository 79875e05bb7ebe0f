"""Rounding rules of operations that decide something: branches, order, pooling (see `ball_rules`).

The computed branch is kept. A decision is in doubt where both sides are not certainly apart, be
they equal to the last bit, and something that moves with the point has a part in it; `run.moving`
says so of the operation. How many are in doubt is counted in `run.kinks`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from morsescape.rounding.ball_rules import is_float, mid_of, rule, underflow
from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.floats import gamma

aten = torch.ops.aten


def _doubt(run: Any, a: Any, b: Any) -> None:
    """Count where a and b are not certainly apart (NaN too)."""
    a, b = _side(a), _side(b)
    reach = a.radius() + b.radius()
    apart = (a.mid.double() - b.mid.double()).abs() > reach
    endless = a.mid.isinf() | b.mid.isinf()
    if bool(endless.any()):  # what is infinite, as in a mask, does not move
        apart = apart | (endless & reach.isfinite() & ~(a.mid.isnan() | b.mid.isnan()))
    run.kinks += int((~apart if run.moving else ~apart & (reach != 0)).sum())


def _side(x: Any) -> Ball:
    """Infinity is exact."""
    if isinstance(x, float) and math.isinf(x):
        return Ball(torch.tensor(x, dtype=torch.float64))
    return as_ball(x)


# -- comparisons --------------------------------------------------------------------------------


@rule("relu")
def _relu(run: Any, operation: Any, x: Any) -> Ball:
    x = as_ball(x)
    near = ~(x.mag > x.radius())  # NaN too
    run.kinks += int((near if run.moving else near & (x.upper != 0)).sum())
    return Ball(operation(x.mid), x.radius() * (x.mid > 0))


@rule("abs")
def _abs(run: Any, operation: Any, x: Any) -> Any:
    if not is_float(x):
        return operation(x)
    x = as_ball(x)
    _doubt(run, x, 0.0)
    return Ball(x.mid.abs(), x.rad)


@rule("sgn", "sign")
def _sign(run: Any, operation: Any, x: Any) -> Any:
    if not is_float(x):
        return operation(x)
    x = as_ball(x)
    _doubt(run, x, 0.0)
    return Ball(operation(x.mid))


@rule("gt", "ge", "lt", "le", "eq", "ne")
def _compare(run: Any, operation: Any, a: Any, b: Any) -> Tensor:
    out: Tensor = operation(mid_of(a), mid_of(b))
    if isinstance(a, Ball) or isinstance(b, Ball):
        _doubt(run, a, b)
    return out


@rule("isnan", "isinf")
def _not_finite(run: Any, operation: Any, x: Any) -> Tensor:
    out: Tensor = operation(mid_of(x))
    return out


@rule("floor", "ceil", "round", "trunc")
def _to_whole(run: Any, operation: Any, x: Any, **kwargs: Any) -> Any:
    """Steps: exact where the ball holds none, else nothing is known."""
    if not is_float(x):
        return operation(x, **kwargs)
    x, name = as_ball(x), operation.overloadpacket.__name__
    out = operation(x.mid)
    step = x.mid.double() + 0.5 if name == "round" else x.mid.double()
    room = (step - step.round()).abs()  # exact below 2^52, where there is room at all
    if kwargs or not bool(((room > 2 * x.radius()) | (x.radius() == 0)).all()):
        raise NoErrorRule("rounding to integers")  # a step, which no radius can follow
    if run.moving:
        run.kinks += int((room == 0).sum())
    return Ball(out)


@rule("where")
def _where(run: Any, operation: Any, condition: Tensor, a: Any, b: Any) -> Any:
    if not (is_float(a) or is_float(b)):
        return operation(condition, a, b)
    out = operation(condition, mid_of(a), mid_of(b))
    a, b = as_ball(a, out.dtype), as_ball(b, out.dtype)
    if a.rad is None and b.rad is None:
        return Ball(out)
    return Ball(out, torch.where(condition, a.radius(), b.radius()))


@rule("masked_fill")
def _masked_fill(run: Any, operation: Any, x: Any, mask: Tensor, value: Any) -> Ball:
    x, fill = as_ball(x), as_ball(value, as_ball(x).mid.dtype)
    return Ball(operation(x.mid, mask, mid_of(value)), torch.where(mask, fill.radius(), x.radius()))


@rule("clamp", "clamp_min", "clamp_max")
def _clamp(run: Any, operation: Any, x: Any, *bounds: Any, **named: Any) -> Any:
    parts = [x, *bounds, *named.values()]
    if not any(map(is_float, parts)):
        return operation(x, *bounds, **named)
    out = operation(mid_of(x), *map(mid_of, bounds), **{k: mid_of(v) for k, v in named.items()})
    x, rad = as_ball(x, out.dtype), as_ball(x, out.dtype).radius()
    for bound in (*bounds, *named.values()):
        if bound is None or (isinstance(bound, float) and math.isinf(bound)):
            continue
        bound = as_ball(bound, out.dtype)
        _doubt(run, x, bound)
        rad = torch.maximum(rad, bound.radius())  # each is 1-Lipschitz in both
    inside = out == x.mid
    return Ball(out, torch.where(inside, rad, _bound_radius(out, bounds, named)))


def _bound_radius(out: Tensor, bounds: Any, named: Any) -> Tensor:
    rad = torch.zeros_like(out, dtype=torch.float64)
    for bound in (*bounds, *named.values()):
        if bound is not None:
            rad = torch.maximum(rad, as_ball(bound, out.dtype).radius())
    return rad


@rule("maximum", "minimum")
def _pick(run: Any, operation: Any, a: Any, b: Any) -> Any:
    if not (is_float(a) or is_float(b)):
        return operation(a, b)
    out = operation(mid_of(a), mid_of(b))
    a, b = as_ball(a, out.dtype), as_ball(b, out.dtype)
    _doubt(run, a, b)
    return Ball(out, torch.where(out == a.mid, a.radius(), b.radius()))


# -- order --------------------------------------------------------------------------------------


@rule("amax", "amin")
def _extreme(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """To within the radii whichever entry it is; who needs the entry takes `max` with its place."""
    if not is_float(x):
        return operation(x, *args, **kwargs)
    x = as_ball(x)
    return Ball(operation(x.mid, *args, **kwargs), aten.amax.default(x.radius(), *args, **kwargs))


def _ordered(run: Any, operation: Any, x: Any, dim: int, *args: Any, **kwargs: Any) -> Any:
    """Values with their places: those are kept, and the radius goes with the place."""
    values, places = operation(mid_of(x), *args, **kwargs)
    if not is_float(x):
        return values, places
    x = as_ball(x)
    if x.mid.ndim == 0:
        return Ball(values, x.rad), places
    kept = places if places.ndim == x.mid.ndim else places.unsqueeze(dim)
    rad = x.radius().gather(dim, kept)
    if (run.moving or x.rad is not None) and x.mid.shape[dim] > 1:
        found = values if values.ndim == x.mid.ndim else values.unsqueeze(dim)
        run.kinks += _rivals_in_order(x, found.double(), dim)
    return Ball(values, rad.reshape(values.shape)), places


def _rivals_in_order(x: Ball, found: Tensor, dim: int) -> int:
    """How many of the values found another entry could take the place of."""
    mid, order = x.mid.double().sort(dim)
    rad = x.radius().gather(dim, order)
    reach = rad.narrow(dim, 0, rad.shape[dim] - 1) + rad.narrow(dim, 1, rad.shape[dim] - 1)
    reach = torch.maximum(reach, 2 * x.radius().amax(dim, keepdim=True))
    gaps = mid.diff(dim=dim)
    close = ~(gaps > reach)  # NaN too
    never = torch.zeros_like(close.narrow(dim, 0, 1))
    touched = torch.cat([never, close], dim) | torch.cat([close, never], dim)
    at = torch.searchsorted(mid.movedim(dim, -1).contiguous(), found.movedim(dim, -1).contiguous())
    at = at.clamp_max(mid.shape[dim] - 1)
    return int(touched.movedim(dim, -1).gather(-1, at).sum())


@rule("sort")
def _sort(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    dim = kwargs.get("dim", args[0] if args else -1)
    return _ordered(run, operation, x, dim, *args, **kwargs)


@rule("topk", "kthvalue")
def _kth(run: Any, operation: Any, x: Any, k: int, dim: int = -1, *args: Any, **kw: Any) -> Any:
    return _ordered(run, operation, x, dim, k, dim, *args, **kw)


@rule("max", "min", "median", "cummax", "cummin")
def _along(run: Any, operation: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    name = operation.overloadpacket.__name__
    if not is_float(x):
        return operation(x, *args, **kwargs)
    if args and isinstance(args[0], int):
        return _ordered(run, operation, x, args[0], *args, **kwargs)
    if args or kwargs or name == "median":
        raise NoErrorRule(f"{name} without a dimension")
    return _extreme(run, aten.amax.default if name == "max" else aten.amin.default, x)


@rule("argmax", "argmin")
def _place(run: Any, operation: Any, x: Any, dim: Any = None, keepdim: bool = False) -> Tensor:
    places: Tensor = operation(mid_of(x), dim, keepdim)
    if is_float(x) and (run.moving or as_ball(x).rad is not None):
        x = as_ball(x)
        flat = Ball(x.mid.reshape(-1), x.radius().reshape(-1)) if dim is None else x
        along = 0 if dim is None else dim
        kept = places if keepdim and dim is not None else places.unsqueeze(along)
        found = flat.mid.gather(along, kept.reshape(1) if dim is None else kept)
        run.kinks += _rivals_in_order(flat, found.double(), along)
    return places


# -- pooling ------------------------------------------------------------------------------------


@rule("max_pool2d_with_indices")
def _max_pool(run: Any, operation: Any, x: Any, *args: Any) -> tuple[Ball, Tensor]:
    x = as_ball(x)
    out, index = operation(x.mid, *args)
    flat = x.radius().flatten(-2).gather(-1, index.flatten(-2)).view(index.shape)
    if run.ties:
        run.kinks += _rivals(x, out - flat, *args)
    return Ball(out, flat), index


@rule("max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d",
      "fractional_max_pool2d", "fractional_max_pool3d")  # fmt: skip
def _max_windows(run: Any, operation: Any, x: Any, *args: Any) -> tuple[Ball, Tensor]:
    name = operation.overloadpacket.__name__
    if run.ties:
        raise NoErrorRule(f"{name} on a box")
    x, dims = as_ball(x), 3 if "3d" in name else 2
    out, index = operation(x.mid, *args)
    flat = x.radius().flatten(-dims).gather(-1, index.flatten(-dims)).view(index.shape)
    return Ball(out, flat), index


def _rivals(x: Ball, least: Tensor, kernel: list[int], stride: Any = (), padding: Any = 0,
            dilation: Any = 1, ceil: bool = False) -> int:  # fmt: skip
    """Windows in which more than one entry can reach `least`, the lower end of the maximum."""
    upper = x.mid.double() + x.radius()
    (kh, kw), (ph, pw), (dh, dw) = two(kernel), two(padding), two(dilation)
    sh, sw = two(stride or kernel)
    if ceil or (dh, dw) != (1, 1):
        raise NoErrorRule("max_pool2d with dilation or ceil_mode")
    padded = torch.nn.functional.pad(upper, (pw, pw, ph, ph), value=-math.inf)
    windows = padded.unfold(-2, kh, sh).unfold(-2, kw, sw)
    return int(((windows >= least[..., None, None]).sum((-2, -1)) > 1).sum())


def two(size: Any) -> tuple[int, int]:
    """A size per direction; one number stands for both."""
    pair = [size] if isinstance(size, int) else list(size)
    return pair[0], pair[-1]


@rule("max_pool2d_with_indices_backward")
def _max_pool_back(run: Any, operation: Any, grad: Any, x: Any, *args: Any) -> Ball:
    grad, x = as_ball(grad), mid_of(x)
    kernel = math.prod(two(args[0]))  # windows that meet in one entry, at most

    def back(g: Tensor) -> Tensor:
        out: Tensor = operation(g, x.to(g.dtype), *args)
        return out

    out = back(grad.mid)
    apart = two(args[0]) == two(args[1] or args[0]) and two(args[3]) == (1, 1)
    rounding = 0.0 if apart else gamma(kernel, out.dtype) * back(grad.mag)
    return Ball(out, back(grad.radius()) + rounding)


@rule("avg_pool2d")
def _avg_pool(run: Any, operation: Any, x: Any, kernel: list[int], *args: Any) -> Ball:
    x = as_ball(x)
    out = operation(x.mid, kernel, *args)
    bound = gamma(math.prod(two(kernel)) + 1, out.dtype) * x.mag + x.radius()
    some = operation(x.mag, kernel, *args) > 0
    return Ball(out, operation(bound, kernel, *args) + underflow(out.dtype, some))


@rule("avg_pool2d_backward")
def _avg_pool_back(run: Any, operation: Any, grad: Any, x: Any, kernel: list[int],
                   *args: Any) -> Ball:  # fmt: skip
    grad, x = as_ball(grad), mid_of(x)
    out = operation(grad.mid, x, kernel, *args)
    bound = gamma(math.prod(two(kernel)) + 1, out.dtype) * grad.mag + grad.radius()
    some = operation(grad.mag, x.double(), kernel, *args) > 0
    return Ball(out, operation(bound, x.double(), kernel, *args) + underflow(out.dtype, some))
