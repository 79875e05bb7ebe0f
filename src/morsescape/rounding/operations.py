"""The table of operations: what every machine knows of each of them.

An entry says once what kind an operation is of; the rules of the number systems are columns beside
it. Where many operations of a kind have one rule, as those that only move entries, a number system
derives it (`derive`), so that a new operation of that kind is one name in this file. Functions of
one variable have their entry, with all their rules, in `functions`.

Operations that programs are recorded without, because they are written out by simpler ones, are
here only for what their formula hides: `smooth` ones have branches that the function has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(Enum):
    """How the numbers of a result hang on those of its arguments."""

    MOVES = "moves entries"
    CHOOSES = "moves entries to places that another tensor names"
    SELECTS = "takes entries of one or the other, as a condition says"
    FILLS = "reads nothing but shapes"
    SPREADS = "repeats its last argument"
    UNSET = "holds what the memory held"
    CONVERTS = "rounds to another type"
    LINEAR = "affine in all arguments together"
    BILINEAR = "affine in each argument"
    QUOTIENT = "affine in its first argument"
    PIECES = "piecewise affine"
    STEP = "piecewise constant"
    SMOOTH = "a formula without branches"
    OTHER = "anything else"


class Reach(Enum):
    """Which entries of its arguments an entry of the result depends on."""

    ENTRY = "the same entry of each"
    REDUCED = "those along the dimensions that are named, which are gone"
    ALONG = "all along one dimension"
    ITEM = "those of the same leading place"
    PRODUCT = "a row and a column"
    SCATTERED = "those that are written there"
    ALL = "any"


@dataclass(frozen=True)
class Operation:
    """One entry: of an aten operation, by its name, whatever its overload.

    Attributes:
        name: of the packet of overloads.
        kind: how the numbers of the result hang on those of the arguments.
        reach: which entries of the arguments reach one of the result, for one that computes.
        kinks: whether it is not twice differentiable everywhere.
        values: how many of the first arguments hold the values, for one that moves entries.
    """

    name: str
    kind: Kind = Kind.OTHER
    reach: Reach = Reach.ALL
    kinks: bool = False
    values: int = 1


OPERATIONS: dict[str, Operation] = {}
Rule = Callable[..., Any]  # called as rule(machine, operation, *args, **kwargs)
Column = dict[str, Rule]
BALL: Column = {}
DOUBLE: Column = {}
ARB: Column = {}
JET: Column = {}  # what has none moves by torch's forward derivatives (see `jet_rules`)


def declare(
    names: str, kind: Kind, reach: Reach = Reach.ALL, *, kinks: bool = False, values: int = 1
) -> None:
    """Enter operations of a kind.

    Raises:
        LookupError: one is there already.
    """
    for name in names.split():
        if name in OPERATIONS:
            raise LookupError(f"{name} is in the table already")
        OPERATIONS[name] = Operation(name, kind, reach, kinks, values)


def operation(name: str) -> Operation:
    """The entry of an operation; of one that is not known, what holds of all."""
    return OPERATIONS.get(name) or Operation(name)


def of_kind(*kinds: Kind) -> frozenset[str]:
    """The names of all entries of these kinds."""
    return frozenset(name for name, entry in OPERATIONS.items() if entry.kind in kinds)


def rule(column: Column, *names: str) -> Callable[[Rule], Rule]:
    """Register a number system's rule for operations that are in the table.

    Raises:
        LookupError: one is not.
    """

    def register(function: Rule) -> Rule:
        for name in names:
            if name not in OPERATIONS:
                raise LookupError(f"{name} is not in the table of operations")
            column[name] = function
        return function

    return register


def derive(column: Column, function: Rule, *kinds: Kind, values: int | None = None) -> None:
    """Use the rule for all operations of these kinds that have none of their own.

    With `values`, only for those whose values are that many arguments.
    """
    for name in of_kind(*kinds) - column.keys():
        if values in (None, OPERATIONS[name].values):
            column[name] = function


COSTS = {
    "ball": "the radius of the Hessian is an estimate",
    "double-double": "its value is rounded as float64 rounds it, with a larger radius",
    "Arb": "there is no interval proof",
}
COLUMNS: dict[str, Column] = {"ball": BALL, "double-double": DOUBLE, "Arb": ARB}


def lacking(names: Iterable[str], system: str = "ball") -> tuple[str, ...]:
    """What of a program has no rule in a number system, and what that costs: a sentence each.

    One on integers alone needs none, and is carried out by torch.

    Example:
        >>> from morsescape.rounding import enclose
        >>> lacking(("add", "special_i0e"))
        ('no ball rule for aten.special_i0e: the radius of the Hessian is an estimate',)
    """
    missing = [name for name in names if name not in COLUMNS[system]]
    return tuple(f"no {system} rule for aten.{name}: {COSTS[system]}" for name in missing)


# -- what rounds nothing ------------------------------------------------------------------------

declare(
    """view _unsafe_view _reshape_alias reshape permute transpose t expand slice select squeeze
    unsqueeze alias detach unfold flip diagonal repeat tril triu roll contiguous clone movedim
    lift_fresh broadcast_in_dim split split_with_sizes unbind cat stack
    view_copy expand_copy permute_copy transpose_copy t_copy slice_copy select_copy squeeze_copy
    unsqueeze_copy alias_copy detach_copy unfold_copy diagonal_copy lift_fresh_copy split_copy
    split_with_sizes_copy unbind_copy""",
    Kind.MOVES,
)
declare("constant_pad_nd", Kind.MOVES)  # and writes a number, which each system looks at itself
declare("slice_scatter select_scatter diagonal_scatter copy", Kind.MOVES, values=2)
declare("gather index _unsafe_index index_select", Kind.CHOOSES)
declare("where masked_fill", Kind.SELECTS, Reach.ENTRY)
declare("zeros_like ones_like new_zeros new_ones _new_zeros_with_same_feature_meta", Kind.FILLS)
declare("full_like new_full fill", Kind.SPREADS, Reach.ENTRY)
declare("empty empty_like empty_strided new_empty new_empty_strided", Kind.UNSET)
declare("_to_copy convert_element_type", Kind.CONVERTS, Reach.ENTRY)

# -- arithmetic ---------------------------------------------------------------------------------

declare("neg add sub", Kind.LINEAR, Reach.ENTRY)
declare("sum", Kind.LINEAR, Reach.REDUCED)
declare("cumsum", Kind.LINEAR, Reach.ALONG)
declare("scatter scatter_add", Kind.LINEAR, Reach.SCATTERED)
declare("index_put _unsafe_index_put", Kind.LINEAR)
declare("avg_pool2d avg_pool2d_backward max_pool2d_with_indices_backward", Kind.LINEAR, Reach.ITEM)
declare("upsample_bicubic2d max_unpool2d max_unpool3d", Kind.LINEAR, Reach.ITEM)
declare("mul", Kind.BILINEAR, Reach.ENTRY)
declare("mm bmm", Kind.BILINEAR, Reach.PRODUCT)
declare("div", Kind.QUOTIENT, Reach.ENTRY)
declare("pow atan2 xlogy", Kind.SMOOTH, Reach.ENTRY)
declare("reciprocal", Kind.SMOOTH, Reach.ENTRY)
declare("logsumexp var prod", Kind.SMOOTH, Reach.REDUCED)
declare("cumprod logcumsumexp", Kind.SMOOTH, Reach.ALONG)

# -- branches -----------------------------------------------------------------------------------

declare("relu abs maximum minimum clamp clamp_min clamp_max", Kind.PIECES, Reach.ENTRY, kinks=True)
declare("fmax fmin nan_to_num", Kind.PIECES, Reach.ENTRY, kinks=True)
declare("remainder fmod", Kind.OTHER, Reach.ENTRY, kinks=True)
declare("sgn sign gt ge lt le eq ne floor ceil round trunc", Kind.STEP, Reach.ENTRY, kinks=True)
declare("heaviside bucketize searchsorted", Kind.STEP, kinks=True)
declare("copysign", Kind.OTHER, Reach.ENTRY, kinks=True)
declare("isnan isinf isfinite logical_and logical_or logical_xor logical_not", Kind.STEP,
        Reach.ENTRY)  # fmt: skip
declare("bitwise_and bitwise_or bitwise_not", Kind.STEP, Reach.ENTRY)
declare("any all count_nonzero", Kind.STEP, Reach.REDUCED)
declare("argmax argmin", Kind.STEP, Reach.REDUCED, kinks=True)
declare("argsort", Kind.STEP, Reach.ALONG, kinks=True)
declare("amax amin max min median", Kind.PIECES, Reach.REDUCED, kinks=True)
declare("sort topk kthvalue cummax cummin", Kind.PIECES, Reach.ALONG, kinks=True)
declare("nanmedian", Kind.PIECES, kinks=True)
declare(
    """max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d
    fractional_max_pool2d fractional_max_pool3d""",
    Kind.PIECES, Reach.ITEM, kinks=True,
)  # fmt: skip

# -- written out by others, or by nobody --------------------------------------------------------

declare("norm linalg_vector_norm", Kind.OTHER, kinks=True)  # at 0
declare("grid_sampler_2d grid_sampler_3d", Kind.OTHER, Reach.ITEM, kinks=True)
declare(
    """quantile nanquantile _cdist_forward _pdist_forward scatter_reduce index_reduce
    multi_margin_loss multilabel_margin_loss_forward""",
    Kind.OTHER, kinks=True,
)  # fmt: skip
declare(
    """softplus softplus_backward log_sigmoid_forward log_sigmoid_backward mish mish_backward
    sinc logaddexp logaddexp2 special_entr special_log_ndtr""",
    Kind.SMOOTH, Reach.ENTRY,
)  # fmt: skip
declare("_softmax _log_softmax _safe_softmax", Kind.SMOOTH, Reach.ALONG)
