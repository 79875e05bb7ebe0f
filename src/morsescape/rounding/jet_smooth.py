"""How jets move through any other operation: by torch's forward derivatives of it (see `jets`).

The operation and its first two directional derivatives are recorded once for the shapes of its
arguments, and the programs are run on balls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.func import jvp

from morsescape.rounding.balls import Ball, NoErrorRule, as_ball
from morsescape.rounding.enclose import Enclosure, Values
from morsescape.rounding.jets import Decision, Jet, Undecided, middle, moving, on_jets, zeros_of
from morsescape.rounding.nests import leaves_of, mapped
from morsescape.rounding.operations import operation
from morsescape.rounding.program import NotTraceable, Program, Step, record

_RECORDED: WeakKeyDictionary[Step, dict[Any, tuple[Program, Program]]] = WeakKeyDictionary()


def smooth(step: Step, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An operation by programs of its derivatives, recorded once.

    Raises:
        NoErrorRule: torch cannot differentiate it forward, or it has kinks and no rule here.
    """
    name = step.target.overloadpacket.__name__
    numbers = moving((args, kwargs))
    known = step.target.namespace == "aten" and not operation(name).kinks
    if any(isinstance(x, Decision) for x in numbers) or not known:
        raise NoErrorRule(name)
    on_jets(numbers)
    first, second, fixed = _derivatives(step, args, kwargs, numbers)

    def part(field: str) -> list[Ball]:
        found = [getattr(x, field) for x in numbers]
        return [zeros_of(x) if p is None else p for x, p in zip(numbers, found, strict=True)]

    value, slope = _on_balls(name, first, part("value"), part("slope"), fixed)
    known, slopes, bends = _on_balls(
        name, second, part("range"), part("slopes"), part("bends"), fixed
    )
    return Jet(value, slope, slopes, bends, numbers[0].r, known)


def _on_balls(name: str, program: Program, *inputs: list[Any]) -> list[Ball]:
    machine = Enclosure()
    try:
        out = [as_ball(x) for x in program.run(machine, *inputs)]
    except (NotTraceable, NoErrorRule) as error:  # a rule that a wide ball does not meet
        raise Undecided(name) from error
    if machine.kinks:
        raise Undecided(f"{name} at a kink")
    return out


def _derivatives(
    step: Step, args: Any, kwargs: Any, numbers: list[Jet]
) -> tuple[Program, Program, list[Any]]:
    """Programs of (x, x') -> (y, y') and (x, x', x'') -> (y, y', y''), and the fixed arguments."""
    fixed = [x for x in leaves_of((args, kwargs)) if isinstance(x, Ball | Tensor)]
    middles = [x.value.mid for x in numbers], [middle(x) for x in fixed]
    shapes = tuple(tuple(x.shape) for x in (*middles[0], *middles[1]))
    known = _RECORDED.setdefault(step, {})
    if shapes not in known:
        known[shapes] = _recorded(step, args, kwargs, *middles)
    return (*known[shapes], fixed)


def _recorded(
    step: Step, args: Any, kwargs: Any, xs: list[Tensor], fixed: list[Tensor]
) -> tuple[Program, Program]:
    def called(fixed: list[Tensor]) -> Callable[..., Tensor]:
        def operation(*values: Tensor) -> Tensor:
            moved, still = iter(values), iter(fixed)

            def filled(x: Any) -> Any:
                if isinstance(x, Jet):
                    return next(moved)
                return next(still) if isinstance(x, Ball | Tensor) else x

            out = step.target(*mapped(filled, args), **mapped(filled, kwargs))
            if not isinstance(out, Tensor):
                raise NotTraceable("one with several results")
            return out

        return operation

    def once(x: list[Tensor], x1: list[Tensor], fixed: list[Tensor]) -> list[Tensor]:
        return list(jvp(called(fixed), tuple(x), tuple(x1)))

    def twice(
        x: list[Tensor], x1: list[Tensor], x2: list[Tensor], fixed: list[Tensor]
    ) -> list[Tensor]:
        def slope(*both: Tensor) -> Tensor:
            out: Tensor = jvp(called(fixed), both[: len(x)], both[len(x) :])[1]
            return out

        return [called(fixed)(*x), *jvp(slope, (*x, *x1), (*x1, *x2))]

    name = step.target.overloadpacket.__name__
    try:
        ones = [torch.ones_like(x) for x in xs]
        programs = record(once, xs, ones, fixed), record(twice, xs, ones, ones, fixed)
    except (NotTraceable, RuntimeError, NotImplementedError) as error:
        raise NoErrorRule(name) from error
    _probe(name, called(fixed), programs[1], xs, fixed)
    return programs


def _probe(
    name: str, operation: Callable[..., Tensor], program: Program, xs: list[Tensor],
    fixed: list[Tensor],
) -> None:  # fmt: skip
    """Differences of the operation against the derivatives that torch has of it.

    They prove nothing, but of an operation without a derivative torch says that it is 0. Looked at
    where most functions are tame, since the program is the same everywhere.
    """
    g = torch.Generator().manual_seed(0)
    v = [torch.randn(x.shape, generator=g, dtype=torch.float64) for x in xs]
    tame = [torch.rand(x.shape, generator=g, dtype=torch.float64) for x in xs]
    starts = ([0.2 + 0.6 * u for u in tame], [1.2 + 0.6 * u for u in tame], xs)
    if not any(_agrees(operation, program, x, v, fixed) for x in starts):
        raise NoErrorRule(f"{name}, of which torch has another derivative than its differences")


def _agrees(
    operation: Callable[..., Tensor], program: Program, xs: list[Tensor], v: list[Tensor],
    fixed: list[Tensor],
) -> bool:  # fmt: skip
    _, slope, bend = program.run(Values(), xs, v, [torch.zeros_like(x) for x in xs], fixed)
    size = 1.0 + max(float(x.abs().max()) if x.numel() else 0.0 for x in (slope, bend))
    for h in (1e-3, 1e-4, 1e-5):
        ahead, here, behind = (
            operation(*(x + k * h * u for x, u in zip(xs, v, strict=True))) for k in (1, 0, -1)
        )
        first = ((ahead - behind) / (2 * h) - slope).abs()
        second = ((ahead - 2 * here + behind) / (h * h) - bend).abs()
        rough = 1e-14 * (1.0 + here.abs()) / (h * h)  # of rounding
        if bool((first <= 1e-3 * size + h * rough).all() and (second <= 0.02 * size + rough).all()):
            return True
    return False
