"""Record a tensor function as a straight-line program of elementary aten operations.

The function is run once on example inputs while a dispatch mode listens below autograd, vmap
and jvp; compound operations are decomposed. The program can then be run on other inputs of the
same shapes, by a machine that decides what a number is: a plain tensor, a ball, a family.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only

from morsescape.rounding.recorder import Recorder
from morsescape.rounding.steps import (
    Constant,
    Judge,
    Machine,
    NotTraceable,
    OtherBranch,
    Program,
    Slot,
    Step,
    tidy,
)  # fmt: skip
from morsescape.rounding.written_out import WrittenOut, written_out

__all__ = [
    "Constant",
    "Judge",
    "Machine",
    "NotTraceable",
    "OfOneChunk",
    "OtherBranch",
    "Program",
    "Slot",
    "Step",
    "record",
    "record_chunk",
]  # fmt: skip


def record(function: Callable[..., Any], *example: Any) -> Program:
    """The program of `function` for inputs of the shapes and dtypes of `example`.

    Inputs may be nested tuples, lists and dictionaries of tensors; a program's inputs are their
    leaves, in order.

    Raises:
        NotTraceable: numbers or shapes come from the values of tensors, or noise is drawn.
    """
    # The function may write into its own.
    inputs = tree_map_only(Tensor, lambda x: x.detach().clone(), example)
    leaves = tree_leaves(inputs)
    recorder = Recorder(tuple(leaves))
    with _restored(), torch.no_grad(), recorder, written_out(_Heard(recorder)):
        result = function(*inputs)
    results, spec = tree_flatten(result)
    outputs = tuple(recorder.reference(leaf) for leaf in results)
    steps = tidy(recorder.steps, outputs, recorder.assumed)
    return Program(len(leaves), steps, outputs, spec, tuple(recorder.assumed))


class _Heard(WrittenOut):
    """Refuses to hand numbers on to what the recorder does not hear, as NumPy."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def call(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Carry out what takes no number out of a tensor that depends on an input."""
        if func in _UNHEARD and self.recorder.depends(args[0]):
            raise NotTraceable("one that reads a number out of a tensor", reads_numbers=True)
        return func(*args, **kwargs)


_UNHEARD = frozenset((
    Tensor.numpy, Tensor.tolist, Tensor.__array__, Tensor.__dlpack__, Tensor.storage,
))  # fmt: skip


@dataclass(frozen=True)
class OfOneChunk:
    """A program in which inputs and targets of one chunk are constants."""

    program: Program

    def run(self, machine: Machine, point: Any, x: Any, y: Any, *rest: Any) -> Any:
        """As `Program.run`; x and y are those that it was recorded with."""
        return self.program.run(machine, point, *rest)


def record_chunk(
    function: Callable[..., Any], theta: Tensor, x: Any, y: Any, *rest: Any
) -> Program | OfOneChunk:
    """The program of function(theta, x, y, ...) for all chunks of this size.

    Where numbers or shapes come from the values of x and y (masks, lengths), it is that of this
    chunk alone.
    """
    try:
        return record(function, theta, x, y, *rest)
    except NotTraceable as reason:
        if not reason.reads_numbers:
            raise
    return OfOneChunk(record(lambda t, *more: function(t, x, y, *more), theta, *rest))


@contextmanager
def _restored() -> Iterator[None]:
    """Leave torch's own state as it was, whatever happens inside.

    Where an error leaves a transform of torch's, guards in the frames of its traceback put back,
    when those are forgotten, what was true while it was thrown: that autograd is off.
    """
    depth = torch._C._functorch.get_dynamic_layer_stack_depth()
    with torch._C._PreserveDispatchKeyGuard(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not yet implemented the batching rule")
        try:
            yield
        except BaseException as error:
            seen: BaseException | None = error
            while seen is not None:
                traceback.clear_frames(seen.__traceback__)
                seen = seen.__context__
            torch._C._functorch.pop_dynamic_layer_stack_and_undo_to_depth(depth)
            raise
