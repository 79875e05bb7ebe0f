"""Record a tensor function as a straight-line program of elementary aten operations.

The function is run once on example inputs while a dispatch mode listens below autograd, vmap
and jvp; compound operations are decomposed. The program can then be run on other inputs of the
same shapes, by a machine that decides what a number is: a plain tensor, a ball, a family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, no_type_check, runtime_checkable

import torch
from torch import Tensor
from torch.func import functionalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from morsescape.hessian.balls import Ball, once


@runtime_checkable
class Machine(Protocol):
    """Carries out one operation; `bounded` says whether it works on balls."""

    bounded: bool

    def __call__(self, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operation's result."""


class NotTraceable(Exception):
    """The function reads numbers out of tensors, so that no program describes it."""


@dataclass(frozen=True)
class Slot:
    """Stands in a step's arguments for a value computed before."""

    number: int


@dataclass(frozen=True)
class Constant:
    """A tensor of floating-point numbers that is no input; wrapped for the machine once."""

    tensor: Tensor

    @cached_property
    def ball(self) -> Ball:
        """The tensor as an exact ball, which keeps its magnitudes."""
        return Ball(self.tensor)


@dataclass(frozen=True)
class Step:
    """One operation: what it reads, where its results go and which slots nobody reads again."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: tuple[int, ...]
    many: bool
    last_read: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """Inputs are slots 0, 1, ...; `outputs` are slots or constants, in the layout of `spec`."""

    inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[Any, ...]
    spec: Any

    def run(self, machine: Machine, *inputs: Any) -> Any:
        """The function's value, each operation carried out as machine(target, args, kwargs)."""
        values: dict[int, Any] = dict(enumerate(inputs))
        bounded = machine.bounded
        for step in self.steps:
            kwargs = {k: _read(v, values, bounded) for k, v in step.kwargs.items()}
            result = machine(step.target, _read(step.args, values, bounded), kwargs)
            if step.many:
                values.update(zip(step.results, result, strict=True))
            else:
                values[step.results[0]] = result
            for slot in step.last_read:
                del values[slot]
        return tree_unflatten([_read(o, values, bounded) for o in self.outputs], self.spec)


@no_type_check  # called for every argument of every operation
def _read(part: Any, values: dict[int, Any], bounded: bool) -> Any:
    """A step's argument, with values in place of slots and constants."""
    if isinstance(part, Slot):
        return values[part.number]
    if isinstance(part, Constant):
        return part.ball if bounded else part.tensor
    if isinstance(part, list | tuple):
        return type(part)([_read(p, values, bounded) for p in part])
    return part


def record(function: Callable[..., Any], *example: Tensor) -> Program:
    """The program of `function` for inputs of the shapes and dtypes of `example`."""
    recorder = _Recorder(example)
    pure = functionalize(lambda *inputs: function(*inputs))  # no writes in place
    with torch.no_grad(), recorder:
        result = pure(*example)
    leaves, spec = tree_flatten(result)
    outputs = tuple(recorder.reference(leaf) for leaf in leaves)
    return Program(len(example), _tidy(recorder.steps, outputs), outputs, spec)


class _Recorder(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its compiler at the first operation: two seconds

    def __init__(self, inputs: tuple[Tensor, ...]) -> None:
        super().__init__()
        self.decompositions = decompositions()
        self.steps: list[Step] = []
        self.alive: list[Tensor] = list(inputs)  # kept, so that no id is used twice
        self.alive_constants: list[Any] = []
        self.slots = {id(x): k for k, x in enumerate(inputs)}

    def reference(self, value: Any) -> Any:
        if isinstance(value, Tensor) and id(value) in self.slots:
            return Slot(self.slots[id(value)])
        if isinstance(value, Tensor) and value.is_floating_point():
            return Constant(value)
        return value

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._efficientzerotensor.default:
            func = torch.ops.aten.zeros.default  # torch crashes on the former, as for ELU
        self._check_fixed(func, args, kwargs)
        if (simpler := self._decompose(func, args, kwargs)) is not NotImplemented:
            return simpler
        out = func(*args, **kwargs)
        if not self._fold(func, args, kwargs, out):
            self._note(func, args, kwargs, out)
        return out

    def _check_fixed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Refuse what makes numbers or shapes of values: the program would hold for one input."""
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        if not any(id(x) in self.slots for x in tensors):
            return
        if torch.Tag.data_dependent_output in func.tags:
            raise NotTraceable("one that reads a number out of a tensor")
        moving = [x for x in tensors[1:] if id(x) in self.slots]
        masks = any(x.dtype in (torch.bool, torch.uint8) for x in moving)
        indexing = func.overloadpacket.__name__ in _INDEXING
        if torch.Tag.dynamic_output_shape in func.tags and (masks or not indexing):
            raise NotTraceable("one that takes a shape from the values of a tensor")

    def _fold(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> bool:
        """Leave out constants, products with constants that are zero, and their sums."""
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        fixed = [id(x) not in self.slots for x in tensors]
        name = func.overloadpacket.__name__
        if name.endswith("_"):
            self._check_alone(name, args[0])
            return False
        if not tensors or (all(fixed) and name in _EXACT):
            return self._keep(out)
        if not isinstance(out, Tensor) or not out.is_floating_point():
            return False
        zero = [f and not bool(once(x).any()) for x, f in zip(tensors, fixed, strict=True)]
        if name in ("mm", "bmm", "mul") and any(zero):
            return self._keep(out.zero_())
        if name == "add" and not kwargs and len(tensors) == 2 and any(zero):
            other = tensors[zero.index(True) - 1]
            if id(other) in self.slots and other.shape == out.shape and other.dtype == out.dtype:
                self.slots[id(out)] = self.slots[id(other)]
                return self._keep(out)
        return False

    def _check_alone(self, name: str, written: Tensor) -> None:
        """A write in place becomes a new value: no other tensor may see it through the memory."""
        memory = written.untyped_storage()._cdata
        others = (x for x in (*self.alive, *self.alive_constants) if isinstance(x, Tensor))
        if any(x is not written and x.untyped_storage()._cdata == memory for x in others):
            raise NotTraceable(f"one in which {name} writes into a tensor that has views")

    def _keep(self, out: Any) -> bool:
        self.alive_constants.append(out)  # so that its id is not used again
        return True

    def _decompose(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self:
            if func in self.decompositions:
                out = self.decompositions[func](*args, **kwargs)
                if out is not NotImplemented:
                    return out
            return func.decompose(*args, **kwargs)

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        read = tree_map_only(Tensor, self.reference, (tuple(args), dict(kwargs)))
        many = isinstance(out, list | tuple)
        results = []
        for tensor in out if many else (out,):
            results.append(len(self.alive))
            self.slots[id(tensor)] = len(self.alive)
            self.alive.append(tensor)
        self.steps.append(Step(_out_of_place(func), read[0], read[1], tuple(results), many, ()))


def _out_of_place(func: Any) -> Any:
    """Some decompositions write in place; nobody else reads what they overwrite (_check_alone)."""
    name = func.overloadpacket.__name__
    if not name.endswith("_"):
        return func
    packet = getattr(torch.ops.aten, name[:-1], None)
    if packet is None or func._overloadname not in packet.overloads():
        raise NotTraceable(f"one with {name}, which works in place only")
    return getattr(packet, func._overloadname)


_INDEXING = frozenset("index _unsafe_index index_put index_put_ _unsafe_index_put".split())
_EXACT = frozenset(
    """expand view _unsafe_view reshape transpose t permute alias slice select unsqueeze squeeze
    detach clone zeros_like new_zeros cat split_with_sizes
    _new_zeros_with_same_feature_meta""".split()
)


def _tidy(steps: list[Step], outputs: tuple[Any, ...]) -> tuple[Step, ...]:
    """Without steps that no output needs; every step told what may be forgotten after it."""
    wanted = {o.number for o in outputs if isinstance(o, Slot)}
    kept: list[Step] = []
    for step in reversed(steps):
        if not wanted.intersection(step.results):
            continue
        reads = {s.number for s in tree_flatten((step.args, step.kwargs))[0] if isinstance(s, Slot)}
        unread = set(step.results) - wanted
        last = tuple((reads - wanted) | unread)
        kept.append(Step(step.target, step.args, step.kwargs, step.results, step.many, last))
        wanted |= reads
    return tuple(reversed(kept))


def decompositions() -> dict[Any, Any]:
    """What a program is broken into before rules apply to it."""
    aten = torch.ops.aten
    packets = [getattr(aten, name) for name in _COMPOUND if hasattr(aten, name)]
    return dict(torch._decomp.get_decompositions(packets))


_COMPOUND = """addmm addmv addbmm baddbmm addcmul addcdiv mean threshold_backward
    tanh_backward sigmoid_backward gelu gelu_backward softplus softplus_backward silu
    silu_backward elu elu_backward leaky_relu leaky_relu_backward hardtanh hardtanh_backward
    _log_softmax _log_softmax_backward_data _softmax _softmax_backward_data nll_loss_forward
    nll_loss_backward mse_loss mse_loss_backward select_backward slice_backward
    native_layer_norm native_layer_norm_backward native_batch_norm
    _native_batch_norm_legit_no_training native_batch_norm_backward rsub log_sigmoid_forward
    log_sigmoid_backward var var_mean std im2col col2im embedding embedding_dense_backward
    masked_fill masked_fill_ index_select dot vdot mv outer trace diag_embed diagonal_backward
    smooth_l1_loss huber_loss binary_cross_entropy xlogy logaddexp norm linalg_vector_norm
    unfold_backward narrow_copy sinc frac mish hardswish celu index_add select_scatter
    _unsafe_masked_index _unsafe_masked_index_put_accumulate
    square reciprocal_ softmax log_softmax trunc stack addr""".split()
