"""Steps by a rule on quadratic models, in a radius that adapts to how good the models are."""

from __future__ import annotations

import torch

from morsescape.critical.curvature import Curvature
from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point, Stop, shortest_step
from morsescape.critical.quadratic_model import Model
from morsescape.critical.step_rules import Rule, Trial

_ACCEPT, _POOR, _GOOD = 1e-4, 0.25, 0.75  # Conn, Gould & Toint 2000, section 17.1
_FAR = 100.0  # the first step, against the size of θ
_REFUSALS = 60  # in a row; each shrinks the radius faster, by 0.25^1830 in all


class ModelSteps:
    """Lower what `rule` lowers, on the models of `curvature`.

    Args:
        problem: the landscape.
        curvature: where its models come from.
        rule: from a model and a scale to a step.
        strict: accept only steps on which the computed f falls. Otherwise, where the fall is below
            the rounding of f, it is measured by the gradients at both ends.
    """

    def __init__(
        self, problem: Counted, curvature: Curvature, rule: Rule, *, strict: bool = False
    ) -> None:
        self.problem, self.curvature, self.rule, self.strict = problem, curvature, rule, strict
        self.scale: float | None = None

    def step(self, point: Point) -> Point | Stop:
        """The next point; STALLED where no step of any length is good enough."""
        model = self.curvature.model(point.theta, point.gradient)
        if model is None:
            return Stop.NOT_FINITE
        if self.scale is None or self.curvature.changed:
            self.scale = self._first_scale(point, model)
        shortest = shortest_step(point)
        refused = 0
        while refused <= _REFUSALS:  # then the scale is at the end of its range
            y = self.rule.step(model, self.scale)
            step, length = model.step(y), float(y.norm())
            theta = point.theta + step
            if not float(step.norm()) > shortest or torch.equal(theta, point.theta):
                break
            end = Point.at(self.problem, theta)
            if end.value == -torch.inf:
                return end
            trial = Trial(self.problem, model, point, end, y, step, self.strict)
            ratio = self.rule.ratio(trial)
            refused = 0 if ratio > _ACCEPT else refused + 1
            self.scale = self._adapted(self.scale, ratio, length, refused)
            if not refused:
                return end
        return Stop.STALLED

    def _first_scale(self, point: Point, model: Model) -> float:
        """Newton's length with every curvature positive: free of scale. Too long costs values."""
        w = model.values.abs()
        newton = float((model.slope / w.clamp_min(1e-8 * float(w.max()) + 1e-130)).norm())
        farthest = min(newton, _FAR * max(1.0, float(point.theta.norm())))
        return max(self.rule.first(model, farthest), 1e-130)

    def _adapted(self, scale: float, ratio: float, length: float, refused: int) -> float:
        within = self.rule.radius  # where the scale is a radius, the step may be shorter
        if ratio < _POOR:
            # Refused again and again, it is decades too long: shrink it ever faster.
            shrink = 0.25 ** max(1, refused)
            return shrink * length if within else max(shrink * scale, 1e-130)
        if ratio > _GOOD and not (within and length <= 0.8 * scale):
            return min(3 * scale, 1e130)
        return scale
