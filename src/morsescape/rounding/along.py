"""A recorded program along a curve: enclosed on intervals of the curve's parameter (see `jets`)."""

from __future__ import annotations

from collections import UserDict
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_unflatten

from morsescape.errors import is_out_of_memory
from morsescape.rounding import jet_branches  # noqa: F401  registers its rules
from morsescape.rounding.balls import Ball, NoErrorRule
from morsescape.rounding.enclose import Enclosure
from morsescape.rounding.jet_rules import Run
from morsescape.rounding.jet_smooth import smooth
from morsescape.rounding.jets import Bent, Decision, Poly, moving
from morsescape.rounding.operations import JET
from morsescape.rounding.program import Program, Slot, Step
from morsescape.rounding.steps import read


class Along:
    """A recorded program whose first input moves along a polynomial in t, t in [0, 1].

    Args:
        program: of a function of (point, ...).
        points: the coefficients of the polynomial, as balls of the shape of the point.
        rest: the other inputs, which stay as they are.

    Raises:
        NoErrorRule: an operation that nothing is known of.
    """

    def __init__(self, program: Program, points: list[Ball | None], *rest: Any) -> None:
        self.program, self.bent = program, list[Step]()
        self._still = Enclosure()  # for what does not move with t
        self._still.moving = False
        assert points[0] is not None
        values: dict[int, Any] = dict(enumerate(tree_leaves((Poly(points, points[0].mid), *rest))))
        bent: set[int] = set()
        for step in program.steps:
            if bent.isdisjoint(step.reads):
                try:
                    _store(values, step, self._carried(step, values, 0.0))
                    continue
                except Bent:
                    pass
            self.bent.append(step)
            bent.update(step.results)
        wanted = {slot for step in self.bent for slot in step.reads} | {
            o.number for o in program.outputs if isinstance(o, Slot)
        } | {slot for slot, _ in program.assumed}  # fmt: skip
        self.values = {k: v for k, v in values.items() if k in wanted}

    def on(self, c: float, r: float) -> Any:
        """The outputs on [c - r, c + r]; c and r are exact.

        Raises:
            Undecided: nothing is known on an interval as wide as this.
        """
        values = _Lazily(self.values, c, r)
        for step in self.bent:
            _store(values, step, self._carried(step, values, r))
            for slot in step.last_read:
                values.data.pop(slot, None)
        for slot, taken in self.program.assumed:
            value = values[slot]
            value = value.settled("a branch") if isinstance(value, Decision) else value
            if not isinstance(value, Tensor) or bool(value) != taken:
                raise NoErrorRule("a branch on the values of a tensor")
        out = read(list(self.program.outputs), values, True)
        return tree_unflatten(out, self.program.spec)

    def _carried(self, step: Step, values: Any, r: float) -> Any:
        args, kwargs = read(step.args, values, True), read(step.kwargs, values, True)
        try:
            return self._result(step, args, kwargs, r)
        except (
            ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError,
        ) as error:  # fmt: skip
            if is_out_of_memory(error):
                raise
            raise NoErrorRule(step.target.overloadpacket.__name__) from error

    def _result(self, step: Step, args: Any, kwargs: Any, r: float) -> Any:
        name = step.target.overloadpacket.__name__
        if not moving((args, kwargs)):
            out = self._still(step.target, args, kwargs)
            if self._still.kinks:
                raise NoErrorRule(f"{name} of what rounding decides")
            return out
        out = NotImplemented
        if name in JET:
            out = JET[name](Run(r, step.inside), step.target, *args, **kwargs)
        return smooth(step, args, kwargs) if out is NotImplemented else out


class _Lazily(UserDict[int, Any]):
    """Values on one interval; polynomials are turned into jets when they are asked for."""

    def __init__(self, values: dict[int, Any], c: float, r: float) -> None:
        super().__init__(values)
        self.c, self.r = c, r

    def __getitem__(self, slot: int) -> Any:
        value = super().__getitem__(slot)
        if isinstance(value, Poly):
            self.data[slot] = value = value.at(self.c, self.r)
        return value


def _store(values: Any, step: Step, result: Any) -> None:
    results = result if step.many else [result]
    for slot, value in zip(step.results, results, strict=True):
        values[slot] = value
