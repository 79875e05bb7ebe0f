"""Which of a recorded program's values depend on which sample, and which are sums over samples.

One more machine for recorded programs: every number carries, beside its value, the set of samples
that it may depend on. It answers what may not be guessed from sizes: whether row n of a tensor is
sample n's alone, and whether a loss is a sum of terms of one sample each, or such a sum over a
divisor that no output moves. Sets are upper bounds: what it calls independent is so. Where an
operation is not known, everything it gives depends on all that it takes, and its name is noted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, no_type_check

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from morsescape.rounding.program import Program


@dataclass(frozen=True, eq=False)
class Shadow:
    """A value, and for each of B samples where it may depend on it: `sets` is (B, *shape).

    `summed`: every entry is a sum over samples of terms of one sample each (`sets` then says which
    samples enter). `over`: all is divided by this one number; `sets` speaks of the numerator.
    `moved`: it depends on what was marked as moving (the outputs, for a loss).
    """

    value: Tensor
    sets: Tensor
    summed: bool = False
    over: Shadow | None = None
    moved: bool = False
    step: int = -1  # the step of the program that made it

    @property
    def single(self) -> bool:
        """Whether no entry of the numerator depends on two samples."""
        return bool((self.sets.sum(0) <= 1).all())

    @property
    def additive(self) -> bool:
        """Whether every entry of the numerator is a sum of terms of one sample each."""
        return self.summed or self.single

    @property
    def all_sets(self) -> Tensor:
        """With what the divisor depends on."""
        return self.sets if self.over is None else self.sets | _anywhere(self.over.all_sets, self)


def _anywhere(sets: Tensor, like: Shadow) -> Tensor:
    """Any sample of `sets`, in every entry of `like`."""
    some = sets.reshape(len(sets), -1).any(1)
    return some.view(-1, *[1] * like.value.ndim).expand(-1, *like.value.shape)


def rows_of_samples(tensor: Any, samples: int, *, moved: bool = False) -> Any:
    """The tensors of a chunk, row n depending on sample n."""

    def shadow(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        own = torch.eye(samples, dtype=torch.bool).view(samples, samples, *[1] * (leaf.ndim - 1))
        return Shadow(leaf, own.expand(samples, *leaf.shape).clone(), moved=moved)

    return tree_map(shadow, tensor)


def is_row_by_row(value: Any, samples: int) -> bool:
    """Whether dimension 0 counts the samples, and row n depends on sample n at most."""
    if not isinstance(value, Shadow):
        return isinstance(value, Tensor) and value.ndim > 0 and len(value) == samples
    if value.value.ndim == 0 or len(value.value) != samples:
        return False
    found = value.all_sets.reshape(samples, samples, -1).any(2)  # (sample, row)
    return not bool((found & ~torch.eye(samples, dtype=torch.bool)).any())


class Dependence:
    """Runs a program on shadows; `unknown` are operations for which all is taken to meet all."""

    bounded = False
    kinks = 0

    def __init__(self, samples: int) -> None:
        self.samples = samples
        self.unknown: set[str] = set()
        self.steps = -1

    def run(self, program: Program, *inputs: Any) -> Any:
        """The program's outputs, as shadows where they depend on a sample."""
        with torch.no_grad():
            return program.run(self, *inputs)

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation, and where its results come from."""
        self.steps += 1
        shadows = _shadows((args, kwargs))
        if target in (torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default):
            target = torch.ops.aten.reshape.default
        out = target(*_plain(args), **_plain(kwargs))
        if not shadows:
            return out
        name = target.overloadpacket.__name__
        moved = any(s.moved for s in shadows)
        over, summed = _structure(name, args, shadows)
        inner = args if over is not None or summed else _tainted(args)
        if name in _MOVES:
            sets = self._moved(name, target, inner, kwargs, out)
        else:
            sets = tree_map(lambda o: self._sets(name, target, inner, o), out)

        def shadow(o: Any, s: Any) -> Any:
            return Shadow(o, s, summed, over, moved, self.steps) if isinstance(o, Tensor) else o

        return tree_map(shadow, out, sets)

    def _sets(self, name: str, target: Any, args: Any, out: Any) -> Any:
        """(B, *out.shape)."""
        if not isinstance(out, Tensor):
            return out
        if name in _FILLS:
            return torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        if name == "where" and not isinstance(args[0], Shadow):
            return self._selected(args, out)
        if torch.Tag.pointwise in target.tags or name in _POINTWISE:
            return self._broadcast(args, out)
        if name in ("mm", "bmm"):
            return self._product(args, out)
        if name in _REDUCTIONS:
            return self._reduced(args, out)
        if name in _ALONG:
            return self._along(args, out)
        if name in ("gather", "index_select", "index", "_unsafe_index", "embedding"):
            return self._chosen(name, target, args, out)
        if name in _PER_ITEM:
            return self._per_item(args, out)
        if name in ("scatter", "scatter_add"):
            return self._scattered(args, out)
        self.unknown.add(name)
        return self._mixed(args, out)

    # -- one way for each kind of operation -------------------------------------------------------

    def _mixed(self, args: Any, out: Tensor) -> Tensor:
        """Everything depends on whatever came in."""
        some = torch.zeros(self.samples, dtype=torch.bool)
        for s in _shadows(args):
            some |= s.all_sets.reshape(self.samples, -1).any(1)
        return some.view(-1, *[1] * out.ndim).expand(-1, *out.shape)

    def _moved(self, name: str, target: Any, args: Any, kwargs: Any, out: Any) -> Any:
        if name in ("as_strided", "_reshape_alias") and not _plain(args[0]).is_contiguous():
            return self._mixed(args, out)  # strides speak of the memory
        args = args[:2] if name == "constant_pad_nd" else args
        options = {k: v for k, v in kwargs.items() if k == "dim"}
        moved = []
        for n in range(self.samples):
            sets = tree_map(lambda a, n=n: _set_of(a, n), args)
            moved.append(target(*sets, **options))
        return tree_map(lambda *parts: torch.stack(parts), *moved)

    def _broadcast(self, args: Any, out: Tensor) -> Tensor:
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        for s in _shadows(args):
            own = s.sets.view(self.samples, *[1] * (out.ndim - s.value.ndim), *s.value.shape)
            sets |= own
        return sets

    def _selected(self, args: Any, out: Tensor) -> Tensor:
        """By a condition that is the same for all samples: each entry is one or the other."""
        first, second = (self._broadcast((a,), out) for a in args[1:3])
        return torch.where(args[0], first, second)

    def _product(self, args: Any, out: Tensor) -> Tensor:
        a, b = args[0], args[1]
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        if isinstance(a, Shadow):
            sets |= a.sets.any(-1, keepdim=True)
        if isinstance(b, Shadow):
            sets |= b.sets.any(-2, keepdim=True)
        return sets

    def _reduced(self, args: Any, out: Tensor) -> Tensor:
        s = args[0]
        if not isinstance(s, Shadow):
            return self._mixed(args, out)
        dims = args[1] if len(args) > 1 and args[1] not in (None, []) else None
        dims = [dims] if isinstance(dims, int) and not isinstance(dims, bool) else dims
        dims = list(range(s.value.ndim)) if not isinstance(dims, list | tuple) else list(dims)
        sets = s.sets
        for d in sorted({d % max(s.value.ndim, 1) for d in dims}):
            sets = sets.any(d + 1, keepdim=True) if s.value.ndim else sets
        if sets[0].numel() != out.numel():
            return self._mixed(args, out)
        return sets.reshape(self.samples, *out.shape)

    def _along(self, args: Any, out: Tensor) -> Tensor:
        """Each entry depends on all entries along one dimension."""
        s = args[0]
        dim = args[1] if len(args) > 1 and isinstance(args[1], int) else -1
        if not isinstance(s, Shadow) or out.ndim != s.value.ndim or out.ndim == 0:
            return self._mixed(args, out)
        return s.sets.any(dim % out.ndim + 1, keepdim=True).expand(-1, *out.shape)

    def _chosen(self, name: str, target: Any, args: Any, out: Tensor) -> Tensor:
        """Entries at places: those of the source that may be chosen, and whoever chooses."""
        if name == "embedding":
            source, places, dims = args[0], [args[1]], [0]
        elif name in ("gather", "index_select"):
            source, places, dims = args[0], [args[2]], [args[1]]
        else:
            source, places = args[0], [p for p in args[1] if p is not None]
            dims = [d for d, p in enumerate(args[1]) if p is not None]
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        if isinstance(source, Shadow):
            reach = source.sets
            for d, p in zip(dims, places, strict=True):
                if isinstance(p, Shadow):  # which entry is taken depends on a sample
                    dim = d % source.value.ndim + 1
                    reach = reach.any(dim, keepdim=True).expand_as(reach)
            rest = _plain(args[1:])
            sets |= torch.stack([target(r, *rest) for r in reach.unbind(0)]).bool()
        if any(isinstance(p, Shadow) for p in places):
            sets |= self._choosers(name, args, places, dims, out)
        return sets

    def _choosers(self, name: str, args: Any, places: Any, dims: Any, out: Tensor) -> Tensor:
        if name == "gather":
            own: Tensor = places[0].sets
            return own
        shadows = [p for p in places if isinstance(p, Shadow)]
        if name == "embedding":
            return shadows[0].sets.unsqueeze(-1).expand(-1, *out.shape)
        block = torch.broadcast_shapes(*(_plain(p).shape for p in places))
        neighbours = dims == list(range(dims[0], dims[0] + len(dims)))
        if name == "index_select" or not (neighbours or dims[0] == 0):
            return self._mixed(tuple(shadows), out)
        start = dims[0] if neighbours else 0
        sets = torch.zeros(self.samples, *block, dtype=torch.bool)
        for s in shadows:
            sets |= s.sets.view(self.samples, *[1] * (len(block) - s.value.ndim), *s.value.shape)
        after = out.ndim - start - len(block)
        shape = (self.samples, *[1] * start, *block, *[1] * after)
        return sets.view(shape).expand(-1, *out.shape)

    def _scattered(self, args: Any, out: Tensor) -> Tensor:
        dim = args[1] % max(out.ndim, 1)
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        if isinstance(args[0], Shadow):
            sets |= args[0].sets
        for s in _shadows(args[2:]):
            if s.value.ndim != out.ndim or out.ndim == 0:
                return self._mixed(args, out)
            reach = s.sets.any(dim + 1, keepdim=True)
            shape = [self.samples, *(k if d != dim else 1 for d, k in enumerate(out.shape))]
            wide = torch.zeros(shape, dtype=torch.bool)
            wide[tuple(slice(0, k) for k in reach.shape)] = reach
            sets |= wide
        return sets

    def _per_item(self, args: Any, out: Tensor) -> Tensor:
        """Each leading entry of the result comes from that of the first argument alone."""
        first = args[0]
        rest = _shadows(args[1:])
        length = len(_plain(first)) if _plain(first).ndim else 0
        fits = isinstance(first, Shadow) and out.ndim > 0 and len(out) == length
        if not fits or any(len(s.value) != length or s.value.ndim == 0 for s in rest):
            return self._mixed(args, out)
        sets = torch.zeros(self.samples, *out.shape, dtype=torch.bool)
        for s in (first, *rest):
            rows = s.sets.flatten(2).any(2) if s.value.ndim > 1 else s.sets
            sets |= rows.view(self.samples, -1, *[1] * (out.ndim - 1))
        return sets


# -- sums and divisors ----------------------------------------------------------------------------


def _structure(name: str, args: Any, shadows: list[Shadow]) -> tuple[Shadow | None, bool]:
    """The divisor of the result, and whether its numerator is a sum of terms of one sample each.

    (None, False) where nothing is known: then the sets of all divisors count.
    """
    overs = {id(s.over): s.over for s in shadows if s.over is not None}
    sums = all(s.additive for s in shadows)
    if name in ("div", "true_divide") and len(args) > 1 and isinstance(args[1], Shadow):
        top, below = args[0], args[1]
        fits = below.value.numel() == 1 and not below.moved and below.over is None
        plain = not isinstance(top, Shadow) or (top.additive and top.over is None)
        return (below, True) if fits and plain else (None, False)
    if len(overs) > 1:
        return None, False
    over = next(iter(overs.values()), None)
    if name in _MOVES or name in ("neg", "sum", "_to_copy"):
        return over, sums
    if name in ("add", "sub"):  # what has another divisor, or none, must not depend on samples
        alike = all(s.over is over for s in shadows)
        return (over, sums) if alike else (None, False)
    if name in ("mul", "div", "true_divide"):
        if len(shadows) == 1:
            return over, sums
        return _product_structure(shadows, over)
    return None, False


def _product_structure(shadows: list[Shadow], over: Shadow | None) -> tuple[Shadow | None, bool]:
    """A product is a sum of terms of one sample each if each entry has one sample in all."""
    shape = torch.broadcast_shapes(*(s.value.shape for s in shadows))
    together = torch.zeros(len(shadows[0].sets), *shape, dtype=torch.bool)
    for s in shadows:
        together |= s.sets.view(-1, *[1] * (len(shape) - s.value.ndim), *s.value.shape)
    if bool((together.sum(0) <= 1).all()) and sum(s.over is not None for s in shadows) <= 1:
        return over, True
    return None, False


# -- arguments ------------------------------------------------------------------------------------


def _shadows(part: Any) -> list[Shadow]:
    return [leaf for leaf in tree_leaves(part) if isinstance(leaf, Shadow)]


@no_type_check
def _plain(part: Any) -> Any:
    return tree_map(lambda a: a.value if isinstance(a, Shadow) else a, part)


def _tainted(args: Any) -> Any:
    """What a divisor depends on counts like what is divided."""

    def whole(s: Any) -> Any:
        return Shadow(s.value, s.all_sets) if isinstance(s, Shadow) and s.over is not None else s

    return tree_map(whole, args)


@no_type_check
def _set_of(part: Any, n: int) -> Any:
    """Where an argument depends on sample n: nowhere, if it is a plain tensor."""
    if isinstance(part, Shadow):
        return part.sets[n]
    return torch.zeros(part.shape, dtype=torch.bool) if isinstance(part, Tensor) else part


_MOVES = frozenset(
    """view _unsafe_view reshape permute transpose t expand slice select squeeze unsqueeze alias
    detach unfold flip diagonal repeat tril triu lift_fresh_copy roll contiguous clone cat stack
    split split_with_sizes unbind constant_pad_nd movedim slice_scatter select_scatter copy
    diagonal_scatter _reshape_alias as_strided alias_copy view_copy expand_copy permute_copy
    slice_copy select_copy squeeze_copy t_copy transpose_copy unsqueeze_copy unfold_copy
    diagonal_copy detach_copy diag_embed pixel_shuffle pixel_unshuffle rot90 narrow""".split()
)
_FILLS = frozenset(
    """zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty
    _new_zeros_with_same_feature_meta""".split()
)
_POINTWISE = frozenset(
    """add sub mul div where masked_fill relu _to_copy convert_element_type pow abs neg exp log
    tanh sigmoid clamp maximum minimum softplus gelu elu logaddexp view_as_real
    _conj conj fill lerp erf log1p""".split()
)
_REDUCTIONS = frozenset(
    """sum mean amax amin any all prod logsumexp var std argmax argmin linalg_vector_norm norm max
    min count_nonzero var_mean nansum median""".split()
)
_ALONG = frozenset(
    """cumsum cumprod logcumsumexp sort argsort topk _softmax _log_softmax softmax log_softmax
    cummax cummin kthvalue""".split()
)
_PER_ITEM = frozenset(
    """convolution max_pool2d_with_indices max_pool3d_with_indices avg_pool2d avg_pool3d
    avg_pool1d _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool3d
    upsample_nearest1d upsample_nearest2d upsample_bilinear2d upsample_linear1d upsample_bicubic2d
    grid_sampler_2d grid_sampler_3d native_group_norm reflection_pad1d reflection_pad2d
    replication_pad1d replication_pad2d affine_grid_generator""".split()
)
