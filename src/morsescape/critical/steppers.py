"""The steppers by the names of their methods."""

from __future__ import annotations

from morsescape.critical.curvature import curvature
from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Stepper
from morsescape.critical.model_steps import ModelSteps
from morsescape.critical.quasi_newton import QuasiNewton
from morsescape.critical.step_rules import RULES
from morsescape.hessian.regime import regime

QUASI = {"lbfgs": False, "scaled-lbfgs": True}  # and whether in a metric of the Hessian
STEPPERS = (*QUASI, *RULES)


def stepper(method: str, problem: Counted, *, strict: bool = False) -> Stepper:
    """What makes the steps of this method, strictly only those on which the computed f falls."""
    if method in QUASI:
        return QuasiNewton(problem, scaled=QUASI[method], strict=strict)
    rule = RULES[method]
    models = curvature(problem, to_zero=rule.to_zero)
    return ModelSteps(problem, models, rule, strict=strict)


def descent(problem: Counted) -> str:
    """The method that goes down fastest from afar: in a metric where the dense Hessian pays."""
    scaled = regime(problem.dim).dense and problem.f.source.of_samples
    return "scaled-lbfgs" if scaled else "lbfgs"
