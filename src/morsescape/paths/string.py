"""The string method and the nudged elastic band, in the metric of the Hessian."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from morsescape.boundary import a_boolean, a_count, a_number, checked, instance
from morsescape.critical.climb import Climb
from morsescape.critical.evaluations import Counted
from morsescape.critical.loop import Point
from morsescape.objective import Objective
from morsescape.paths.band import Band
from morsescape.paths.curve import Curve
from morsescape.paths.found import COMMON, Found, check_ends, hessian_cost, line
from morsescape.paths.images import Images
from morsescape.paths.metrics import Metrics
from morsescape.progress import StageProgress

_OFF = 1e-3  # of the distance of the ends: what images start off the line
_ANCHORS = 5  # metrics of a band: three times as many save a tenth of the steps (digits)
_RENEW = 10  # steps in one set of metrics
_LOOK = 10  # steps between two looks at what is between the images
_FALL, _IDLE = 0.01, 2  # of the height over the ends that it must fall by, or stop at such a look
_MOST = 3  # times as many images at last as at first
_CLIMB = 200  # steps with a climbing image, where no Hessian finds the saddle
_SETTLE = 30  # steps of the other images once the highest is at the saddle, at most

_RULES = COMMON | {
    "images": a_count(1, most=1000), "most": a_count(1, most=1000), "climb": a_boolean(),
    "insert": a_number(above=0), "start": instance(Curve, "Curve.chain(points) makes one"),
}  # fmt: skip


@checked(str, **_RULES)
def string(
    f: Objective,
    a: Float64[Tensor, "D"],
    b: Float64[Tensor, "D"],
    *,
    images: int = 15,
    most: int | None = None,
    insert: float = 0.05,
    climb: bool = True,
    start: Curve | None = None,
    seed: int = 0,
    max_steps: int = 300,
    tol: float = 1e-9,
    progress: StageProgress | None = None,
) -> Found:
    """A minimum energy path from a to b by the string method: ∇f ∥ γ′ at every image.

    Each image goes to the minimum of g·s + ½ sᵀPs across the string, where τ·s = 0, then all are
    moved along it to equal arc lengths. P is |Hess f| near the image, above 1,500 variables
    Hess f + shift·I at the highest, renewed every 10 steps; above 12,000 variables the identity,
    with Barzilai and Borwein's step lengths. Without a projection a step in a metric would take
    every image into a minimum, which is why it is that of the original method. Where f between two
    neighbours exceeds both, an image is inserted.

    With `climb` the highest image then goes up along the string (Henkelman, Uberuaga & Jónsson),
    and by eigenvector-following on to ‖∇f‖ ≤ tol, if a point of index 1 is there: it is one of the
    joints of the curve.

    Args:
        f: the landscape.
        a: the start, best a minimum.
        b: the end.
        images: inner images at first.
        most: inner images at last; None takes three times as many as at first.
        insert: an image is inserted where f rises between two by this share of the height of the
            string over its lower end.
        climb: whether the highest image climbs.
        start: the curve to start from; None takes the straight line, a thousandth of its length
            off it: where a symmetry of f maps the line to itself, gradients would stay there.
        seed: of what is drawn for that.
        max_steps: steps of the string.
        tol: on ‖∇f‖ across the string, and at the saddle; the string also ends where its height
            falls no more.
        progress: called as progress(steps done, max_steps).

    Returns:
        The chain through the images, the lowest that was looked at, what it cost, and how it ended:
        also whether another image is higher than the one of index 1.

    Raises:
        ArgumentError: ends that are the same, not finite, or of the wrong shape; counts or
            tolerances out of range.

    Source:
        E, Ren & Vanden-Eijnden, Phys. Rev. B 66 (2002) 052301 and J. Chem. Phys. 126 (2007) 164103;
        Draxler et al., ICML (2018), for the insertion.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + (t[1] - t[0]) ** 2, 2)
        >>> found = string(f, torch.tensor([-1.0, -1.0]).double(), torch.ones(2).double(), images=4)
        >>> round(max(f.value(p) for p in found.curve.joints), 9)
        1.0
    """
    return _Search(
        f, a, b, images, most, insert, climb, start, None, max_steps, tol, progress, seed
    ).run()


@checked(str, **_RULES, spring=a_number(above=0, most=1))
def neb(
    f: Objective,
    a: Float64[Tensor, "D"],
    b: Float64[Tensor, "D"],
    *,
    images: int = 15,
    most: int | None = None,
    insert: float = 0.05,
    climb: bool = True,
    spring: float = 0.5,
    start: Curve | None = None,
    seed: int = 0,
    max_steps: int = 300,
    tol: float = 1e-9,
    progress: StageProgress | None = None,
) -> Found:
    """A minimum energy path from a to b by the nudged elastic band with a climbing image.

    As `string`, with the same arguments, but springs along the upwind tangent keep the images
    apart, and no image is moved to an exact place: ∇f acts across the band, the springs along it.
    `spring` is the share of the way to equal distances that they pull an image in a step.

    Raises:
        ArgumentError: as `string`, and a spring outside of (0, 1].

    Source:
        Henkelman & Jónsson, J. Chem. Phys. 113 (2000) 9978; Henkelman, Uberuaga & Jónsson, the same
        volume, 9901.

    Example:
        >>> import torch, morsescape as ms
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2 + (t[1] - t[0]) ** 2, 2)
        >>> found = neb(f, torch.tensor([-1.0, -1.0]).double(), torch.ones(2).double(), images=4)
        >>> round(max(f.value(p) for p in found.curve.joints), 9)
        1.0
    """
    return _Search(
        f, a, b, images, most, insert, climb, start, spring, max_steps, tol, progress, seed
    ).run()


@dataclass
class _Search:
    f: Objective
    a: Tensor
    b: Tensor
    images: int
    most: int | None
    insert: float
    climb: bool
    start: Curve | None
    spring: float | None
    max_steps: int
    tol: float
    progress: StageProgress | None
    seed: int = 0

    def run(self) -> Found:
        check_ends(self.f, self.a, self.b)
        if self.start is not None:
            self.f.check(self.start.joints[0], "start")
        points = line(self.a, self.b, self.images + 2)
        if self.start is None:
            points[1:-1] += self._noise(len(points) - 2)
        else:
            points = torch.stack([self.start(float(t)) for t in torch.linspace(0, 1, len(points))])
            points[0], points[-1] = self.a, self.b
        self.metrics = Metrics(self.f, _ANCHORS)
        self.band = Band(self.f, points, Images(self.f), self.metrics, self.spring)
        self.steps, self.climbed = 0, Counted(self.f)
        note = self.relax(self.max_steps)
        if self.climb and self.band.height > self._ends():
            note += "; " + self.to_the_saddle()
        spent = self.band.images.gradients + self.metrics.gradients + self._climb_cost()
        return Found(Curve.chain(self.band.points.clone()), spent, note)

    def _noise(self, images: int) -> Tensor:
        """Of a thousandth of the distance, for each image."""
        g = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(images, self.f.dim, generator=g, dtype=torch.float64)
        return _OFF * float((self.b - self.a).norm()) / self.f.dim**0.5 * drawn

    def relax(self, most: int) -> str:
        """Steps until ∇f is small across the band, its height falls no more, or there are none.

        The height is that of the whole polygon; what is left is the lowest band that was looked at.
        """
        self.best: tuple[float, Band] | None = None
        note, idle = "steps used up", 0
        for done in range(most):
            if self.band.force() <= self.tol:
                note = f"|grad f| <= {self.tol:g} across the band"
                break
            if done % _RENEW == 0:
                self.metrics.renew(self.band.points[1:-1], self.band.top - 1)
            self.band.step()
            self._tell()
            if (done + 1) % _LOOK == 0:
                idle = 0 if self._look() else idle + 1
                if idle == _IDLE:
                    note = "the height falls no more"
                    break
        self._look()
        assert self.best is not None
        self.band = self.best[1]
        return f"{note} after {self.steps} steps"

    def _look(self) -> bool:
        """Whether the polygon is lower than before; images are inserted where it is too coarse."""
        band = self.band
        between = band.look()
        height, lower = max(band.height, float(between.values.max())), self._ends()
        best = math.inf if self.best is None else self.best[0]
        if height < best or self.best is None:
            self.best = height, band.copy()
        most = 2 + (_MOST * self.images if self.most is None else max(self.most, self.images))
        band.insert(between, self.insert * (band.height - float(band.values[[0, -1]].min())), most)
        return best == math.inf or best - height > _FALL * (best - lower)

    def _ends(self) -> float:
        return float(self.band.values[[0, -1]].max())

    def _tell(self) -> None:
        self.steps += 1
        if self.progress is not None:
            self.progress(min(self.steps, self.max_steps), self.max_steps)

    def to_the_saddle(self) -> str:
        """Take the highest image to the point of index 1 that is there; the others follow."""
        band = self.band
        k = band.top
        if not self.metrics.dense:
            return self._climbed(k)
        gap = float(band.gaps[k - 1 : k + 1].min())
        rise = band.height - self._ends()
        climbed = Climb(self.climbed)(
            band.points[k].clone(), band.tangents()[k - 1], gap=gap,
            ceiling=band.height + 0.5 * rise, tol=self.tol,
        )  # fmt: skip
        return climbed.why or self._settled(climbed.point, k)

    def _climb_cost(self) -> int:
        return self.climbed.gradients + self.climbed.hessians * (
            hessian_cost(self.f) if self.metrics.dense else 0
        )

    def _climbed(self, k: int) -> str:
        """The climbing image with the others, where there is no dense Hessian to follow."""
        band = self.band
        band.climber = k
        for _ in range(_CLIMB):
            if float(band.gradients[k].norm()) <= self.tol:
                break
            band.step()
            self._tell()
        return f"|grad f| = {float(band.gradients[k].norm()):.1e} at the climbing image"

    def _settled(self, saddle: Point, k: int) -> str:
        band = self.band
        band.points[k], band.values[k] = saddle.theta, saddle.value
        band.gradients[k] = 0.0
        band.climber, band.fixed = k, True
        self.relax(_SETTLE)
        told = (
            f"a joint of index 1 as computed, |grad f| = {saddle.norm:.1e}, f = {saddle.value:.6g}"
        )
        band = self.band
        if band.top == band.climber:
            return f"{told}, the highest of all"
        return f"{told}; another is higher, f = {float(band.values[band.top]):.6g}"
