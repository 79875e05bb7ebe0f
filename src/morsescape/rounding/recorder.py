"""The dispatch mode that writes down every elementary operation of a function as it runs.

It listens below autograd, vmap and jvp, and takes compound operations apart. The program knows no
writes in place: what is written becomes a new value, and every other tensor in the same memory is
read from that memory again (`_write`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from morsescape.rounding.balls import once
from morsescape.rounding.constants import DECOMPOSITIONS, constant_pair, is_own, rounded
from morsescape.rounding.decompositions import decompositions
from morsescape.rounding.foreign import by_full_name
from morsescape.rounding.nests import mapped, tensors_in
from morsescape.rounding.operations import Kind, operation
from morsescape.rounding.steps import Constant, NotTraceable, Slot, Step, plain
from morsescape.rounding.storages import (
    arguments_written,
    geometry_of,
    inverse_of,
    memory_of,
    out_of_place,
    places_of,
)  # fmt: skip

aten = torch.ops.aten


class Recorder(TorchDispatchMode):
    """Steps of a program whose inputs are the given tensors, numbered from 0."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its compiler at the first operation: two seconds

    def __init__(self, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.depth = 0  # of decompositions: a number in one may have been rounded by torch
        self.inside: tuple[str, ...] = ()  # the operations that are being written out by others
        self.steps: list[Step] = []
        self.still: set[int] = set()  # slots computed from constants alone
        self.assumed: list[tuple[int, bool]] = []
        self.numbers = len(inputs)
        self.slots = {id(x): k for k, x in enumerate(inputs) if isinstance(x, Tensor)}
        # All tensors seen, by the memory they lie in; kept, so that no id is used twice.
        self.memories: dict[int, list[Tensor]] = {}
        self.constants: dict[int, list[Constant]] = {}
        self.wholes: dict[int, list[Tensor]] = {}  # integers and booleans in steps
        self.flats: dict[int, Tensor] = {}  # what memory holds that was written through a part
        self.fresh: dict[int, set[int]] = {}  # tensors in it whose own slots are up to date
        self.own: set[float] = set()  # numbers of torch's functions that nobody handed to them
        self.before_relu: dict[int, Any] = {}  # by slot of a ReLU's result: its input
        for x in inputs:
            if isinstance(x, Tensor):
                self._see(x)

    def reference(self, value: Any) -> Any:
        """What a step holds in place of an argument."""
        if not isinstance(value, Tensor):
            return value
        if self.flats and id(value) not in self.fresh.get(memory := memory_of(value), ()):
            self._read_again(value, memory)
        if id(value) in self.slots:
            return Slot(self.slots[id(value)])
        if not value.is_floating_point():
            self.wholes.setdefault(memory_of(value), []).append(value)
            return value
        constant = Constant(plain(value))
        if constant.tensor is value:
            self.constants.setdefault(memory_of(value), []).append(constant)
        return constant

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is aten._efficientzerotensor.default:
            func = aten.zeros.default  # torch crashes on the former, as for ELU
        facts = _facts(func)
        if facts.shapes or facts.numbers:
            if (taken := self._branch(func, args)) is not None:
                return taken
            self._check_fixed(func, facts.shapes, args, kwargs)
        if written := arguments_written(func, args, kwargs):
            return self._write(func, args, kwargs, written)
        simpler = self._decompose(func, args, kwargs) if facts.compound else NotImplemented
        if simpler is not NotImplemented:
            return simpler
        if facts.draws:
            raise NotTraceable("one that draws random numbers")
        if func is aten.as_strided.default and self.moves(args[0]):
            return self._stride(func, args, kwargs)
        func = by_full_name(func)
        try:
            out = func(*args, **kwargs)
        except RuntimeError:
            if func is not aten.view.default:
                raise  # but some of torch's formulas take for granted how its results are laid out
            with self:
                return args[0].contiguous().view(args[1])
        if not self._fold(func, args, kwargs, out):
            self._note(func, args, kwargs, out)
        return out

    # -- what no program can hold -----------------------------------------------------------------

    def moves(self, x: Tensor) -> bool:
        """Whether the program computes the tensor."""
        return id(x) in self.slots or bool(self.flats and memory_of(x) in self.flats)

    def depends(self, x: Tensor) -> bool:
        """Whether it depends on an input, and not only on constants."""
        return self.moves(x) and self.slots.get(id(x)) not in self.still

    def _branch(self, func: Any, args: tuple[Any, ...]) -> bool | None:
        """A branch on a boolean: taken, and from now on assumed."""
        if func not in _READS or args[0].dtype != torch.bool or not self.depends(args[0]):
            return None
        taken = bool(func(*args))
        self.assumed.append((self.reference(args[0]).number, taken))
        return taken

    def _check_fixed(self, func: Any, shapes: bool, args: Any, kwargs: dict[str, Any]) -> None:
        """Refuse what makes numbers or shapes of values: the program would hold for one input."""
        tensors = tensors_in((args, kwargs))
        if not any(map(self.depends, tensors)):
            return
        if not shapes:
            raise NotTraceable("one that reads a number out of a tensor", reads_numbers=True)
        masks = any(x.dtype in (torch.bool, torch.uint8) for x in tensors[1:] if self.depends(x))
        if masks or func.overloadpacket.__name__ not in _INDEXING:
            raise NotTraceable(
                f"one that takes a shape from the values of a tensor, in {func}", reads_numbers=True
            )

    def _decompose(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self:
            depth, inside = self.depth, self.inside
            try:
                if func in DECOMPOSITIONS:
                    return DECOMPOSITIONS[func](*args, **kwargs)
                self.depth += 1
                if func in decompositions():
                    self.inside = (*inside, func.overloadpacket.__name__)
                    out = decompositions()[func](*args, **kwargs)
                    if out is not NotImplemented:
                        return out
                    self.inside = inside
                return func.decompose(*args, **kwargs)
            finally:
                self.depth, self.inside = depth, inside

    # -- values -----------------------------------------------------------------------------------

    def _fold(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> bool:
        """Leave out constants, products with constants that are zero, and their sums."""
        name = func.overloadpacket.__name__
        kind, tensors = operation(name).kind, tensors_in((args, kwargs))
        fixed = [not self.moves(x) for x in tensors]
        if kind is Kind.UNSET and out.is_floating_point():  # nobody may take it for a number
            out.fill_(torch.nan)
        if all(fixed) and (not tensors or _whole(out) or _exact(kind, name, tensors, out)):
            return self._keep(out)
        if kind in (Kind.FILLS, Kind.UNSET):  # of the argument only the shape is read
            return self._keep(out)
        if name not in _WITH_ZERO or not out.is_floating_point() or not any(fixed):
            return False
        zero = [f and not bool(once(x).any()) for x, f in zip(tensors, fixed, strict=True)]
        if name != "add" and any(zero):
            return self._keep(out.zero_())
        if not kwargs and len(tensors) == 2 and any(zero):
            other = tensors[zero.index(True) - 1]
            same = other.shape == out.shape and other.dtype == out.dtype
            if same and isinstance(slot := self.reference(other), Slot):
                self.slots[id(out)] = slot.number
                return self._keep(out)
        return False

    def _keep(self, out: Any) -> bool:
        for tensor in out if isinstance(out, list | tuple) else (out,):
            if isinstance(tensor, Tensor):
                self._see(tensor)
        return True

    def _see(self, tensor: Tensor) -> None:
        memory = memory_of(tensor)
        self.memories.setdefault(memory, []).append(tensor)
        if memory in self.flats:
            self.fresh[memory].add(id(tensor))

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        many, name = isinstance(out, list | tuple), func.overloadpacket.__name__
        if name in _ARITHMETIC:
            args = tuple(self._number(x, "Scalar" in func._overloadname) for x in args)
        args, kwargs = mapped(self.reference, (tuple(args), dict(kwargs)))
        outs = out if many else (out,)
        results = tuple(range(self.numbers, self.numbers + len(outs)))
        self.numbers += len(outs)
        args = self._past_relu(name, args, results[0])
        self.steps.append(Step(func, args, kwargs, results, many, inside=self.inside))
        if self.steps[-1].reads <= self.still:
            self.still.update(results)
        for tensor, slot in zip(outs, results, strict=True):
            if isinstance(tensor, Tensor):
                self.slots[id(tensor)] = slot
                self._see(tensor)

    def _number(self, x: Any, by_torch: bool) -> Any:
        """A number of torch's own is marked; its derivatives use it again."""
        if not isinstance(x, float):
            return x
        if self.depth or by_torch or abs(x) in self.own:
            return rounded(x)
        if is_own(x):
            self.own.add(abs(x))
            return rounded(x)
        return x

    def _past_relu(self, name: str, args: tuple[Any, ...], result: int) -> tuple[Any, ...]:
        """The gradient of ReLU asks its result, which is 0 wherever the input is not above 0."""
        if not (args and isinstance(args[0], Slot)):
            return args
        before = self.before_relu.get(args[0].number)
        if name == "relu":
            self.before_relu[result] = args[0]
        elif before is not None and name in ("alias", "detach"):
            self.before_relu[result] = before
        elif before is not None and name == "le" and args[1] == 0:
            return (before, *args[1:])
        return args

    # -- writes in place --------------------------------------------------------------------------

    def _write(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], written: list[Tensor]
    ) -> Any:
        """Carry out a write, and make it a new value in the program."""
        tensors = tensors_in((args, kwargs))
        (target, *more), name = written, func.overloadpacket.__name__
        memory = memory_of(target)
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise NotTraceable("one that draws random numbers")
        if not any(map(self.moves, tensors)):
            self._freeze(memory)
            return func(*args, **kwargs)
        if memory not in self.memories or more:
            raise NotTraceable(f"one in which {name} writes into a tensor from outside it")
        if torch.Tag.inplace_view in func.tags:
            return self._turn(func, args, kwargs)
        pure, read = out_of_place(func), {k: v for k, v in kwargs.items() if k != "out"}
        with self:
            new = pure(target) if name == "zero_" else pure(*args, **read)
            if new.dtype != target.dtype:  # torch computes, then rounds to what is there
                new = new.to(target.dtype)
        others = [x for x in self.memories[memory] if geometry_of(x) != geometry_of(target)]
        flat = self._with_part(memory, target, new, others) if others else None
        self._freeze(memory)
        out = func(*args, **kwargs)
        self._renew(memory, target, new, flat)
        return out

    def _turn(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Another view of the same memory, in the same tensor."""
        with self:
            new = out_of_place(func)(*args, **kwargs)
        seen, out = self.reference(new), func(*args, **kwargs)
        self.slots[id(out)] = seen.number
        self.fresh.setdefault(memory_of(out), set()).add(id(out))
        return out

    def _freeze(self, memory: int) -> None:
        """Steps so far read what the memory holds now, before something is written there."""
        for constant in self.constants.pop(memory, ()):
            constant.tensor = constant.tensor.clone()
        if not self.wholes.pop(memory, None):
            return

        def kept(x: Any) -> Any:
            return x.clone() if isinstance(x, Tensor) and memory_of(x) == memory else x

        for k, step in enumerate(self.steps):
            args, kwargs = mapped(kept, (step.args, step.kwargs))
            self.steps[k] = replace(step, args=args, kwargs=kwargs)

    def _with_part(self, memory: int, part: Tensor, new: Tensor, others: list[Tensor]) -> Tensor:
        """All that the memory holds, as a vector, once `part` has its new value."""
        size = part.untyped_storage().nbytes() // part.element_size()
        if any(x.dtype != part.dtype for x in others):
            raise NotTraceable("one that writes into a tensor with a view of another type")
        flat = self._flat(memory, size, others)
        with self:
            places = places_of(part, size)
            mask = torch.zeros(size, dtype=torch.bool)
            mask[places] = True
            return torch.where(mask, new.reshape(-1).gather(0, inverse_of(places, size)), flat)

    def _flat(self, memory: int, size: int, seen: list[Tensor]) -> Tensor:
        """All that the memory holds, as a vector."""
        if memory in self.flats:
            return self.flats[memory]
        whole = next((x for x in seen if x.numel() == size), None)
        if whole is None:
            raise NotTraceable("one that writes into a part of a tensor that is not known")
        with self:
            return whole.clone().reshape(-1).gather(0, inverse_of(places_of(whole, size), size))

    def _stride(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Strides refer to the memory, so what they see is read from there."""
        out: Tensor = func(*args, **kwargs)
        memory, size = memory_of(out), out.untyped_storage().nbytes() // out.element_size()
        seen = self.memories[memory]
        if memory not in self.flats:
            self.flats[memory] = self._flat(memory, size, seen)
            self.fresh[memory] = {id(x) for x in seen}
        seen.append(out)
        return out

    def _renew(self, memory: int, target: Tensor, new: Tensor, flat: Tensor | None) -> None:
        """The tensor has a new value; so has every other one that lies in the same memory."""
        self.flats.pop(memory, None)
        self.fresh[memory] = set()
        for x in self.memories[memory]:
            self.slots.pop(id(x), None)
            if geometry_of(x) == geometry_of(target):
                self.fresh[memory].add(id(x))
                if id(new) in self.slots:
                    self.slots[id(x)] = self.slots[id(new)]
        if flat is not None and id(flat) in self.slots:
            self.flats[memory] = flat

    def _read_again(self, x: Tensor, memory: int) -> None:
        if memory not in self.flats:
            return
        size = x.untyped_storage().nbytes() // x.element_size()
        with self:
            now = self.flats[memory].gather(0, places_of(x, size)).reshape(x.shape)
        self.slots[id(x)] = self.slots[id(now)]
        self.fresh[memory].add(id(x))


class _Facts(NamedTuple):
    """Of an operation: whether it makes shapes or numbers of values, or draws, or is compound."""

    shapes: bool
    numbers: bool
    draws: bool
    compound: bool


@cache
def _facts(func: Any) -> _Facts:
    tags = torch.Tag
    known = func in decompositions() or func in DECOMPOSITIONS
    return _Facts(
        tags.dynamic_output_shape in func.tags,
        tags.data_dependent_output in func.tags or func in _READS,
        tags.nondeterministic_seeded in func.tags,
        known or bool(func._can_decompose()),
    )


def _whole(out: Any) -> bool:
    """Whether an operation's results are integers or booleans."""
    outs = out if isinstance(out, list | tuple) else (out,)
    return not any(
        isinstance(x, Tensor) and (x.is_floating_point() or x.is_complex()) for x in outs
    )


def _exact(kind: Kind, name: str, constants: list[Tensor], out: Any) -> bool:
    """Whether what torch makes of constants is what they are; one that is named keeps its name."""
    if kind not in (Kind.MOVES, Kind.CHOOSES, Kind.FILLS) and name != "as_strided":
        return False
    types = {x.dtype for x in (*constants, *tensors_in(out)) if x.is_floating_point()}
    return len(types) <= 1 and not any(constant_pair(x) for x in constants)


_READS = (aten._local_scalar_dense.default, aten.item.default)
_WITH_ZERO = frozenset("mm bmm mul add".split())
_ARITHMETIC = frozenset("add sub rsub mul div pow".split())
_INDEXING = frozenset("index _unsafe_index index_put index_put_ _unsafe_index_put".split())
