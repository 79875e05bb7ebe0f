r"""Between two minima: near the boundary of a basin, where descents linger at a pass.

Points of the segment between the minima are labelled by the minimum in which a descent from them
ends. Between a point with one label and its neighbour with another lies the boundary of a basin,
the stable manifold, generically, of a critical point of index 1; a descent that starts close to it
comes close to that point before it turns away. The descent is that of a fixed metric, |Hess f| at
the middle of the segment (see `flow`), ended by a quasi-Newton search: which labels it gives is a
matter of cost only, for what is found is certified afterwards.

Source: Skufca, Yorke & Eckhardt, Phys. Rev. Lett. 96 (2006) 174101.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from morsescape.critical.curvature import metric_at
from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point, run
from morsescape.critical.quadratic_model import Euclidean, Metric
from morsescape.critical.steppers import descent, stepper
from morsescape.hessian.regime import regime
from morsescape.morse.flow import Flow, descent_in_metrics
from morsescape.progress import StageProgress

_FIRST, _MORE, _MOST = 4, 3, 10  # bisections before the first start, between starts, in all
_TIME = 60.0  # of a descent; modes of P decay as exp(-t)
_SETTLED = 1e-6  # ‖∇f‖ at which a label is read
_FALL = 500  # steps down
_SAME = 1e-3  # of the distance of the two minima: nearer ends are one


class Bisection:
    """The segment from a to b, bisected by the basin in which its points lie.

    Args:
        problem: the landscape.
        a, b: two minima.
        progress: told of the bisections done.
    """

    def __init__(
        self, problem: Counted, a: Tensor, b: Tensor, progress: StageProgress | None = None
    ) -> None:
        self.problem, self.a, self.b, self.progress = problem, a, b, progress
        self.metric: Metric = Euclidean()
        if regime(problem.dim).dense:
            self.metric = metric_at(problem, (a + b) / 2) or self.metric

    def starts(self) -> Iterator[Tensor]:
        """Points near a pass, both sides of the boundary, nearer and nearer to it."""
        low, high = 0.0, 1.0
        lines: dict[bool, Flow] = {}
        for done in range(1, _MOST + 1):
            middle = (low + high) / 2
            line, end = self._labelled(self.a + middle * (self.b - self.a))
            here = float((end - self.a).norm()) <= _SAME * float((self.b - self.a).norm())
            low, high = (middle, high) if here else (low, middle)
            lines[here] = line
            if self.progress is not None:
                self.progress(done, _MOST)
            if done >= _FIRST and (done - _FIRST) % _MORE == 0:
                nearest = sorted(lines.values(), key=lambda x: float(x.norms[x.closest]))
                for line in nearest:
                    yield line.points[line.closest].clone()

    def _labelled(self, theta: Tensor) -> tuple[Flow, Tensor]:
        line = descent_in_metrics(self.problem, theta, self.metric, time=_TIME)
        point = Point.at(self.problem, line.end.clone())
        return line, bottom(self.problem, point, _SETTLED)


def bottom(problem: Counted, point: Point, tol: float) -> Tensor:
    """Where f falls to, until ‖∇f‖ is at most tol, or a millionth of what it was."""
    settled = max(tol, 1e-6 * point.norm)
    steps = stepper(descent(problem), problem)
    return run(steps, point, tol=settled, max_steps=_FALL)[0].theta
