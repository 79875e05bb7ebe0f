"""Landscapes with minima and known passes between them, and a ridge that sampling misses.

Written for any arithmetic, as those of `zoo.landscapes`, and verified by the same tests.
"""

from __future__ import annotations

import math

from morsescape.zoo.landscape import Landscape

two_wells = Landscape(
    "two wells of unequal depth",
    lambda t, m: t[0] ** 4 / 4 - t[0] ** 3 / 3 - t[0] ** 2 + (t[1] - t[0]) ** 2,
    2,
    (((-1.0, -1.0), (0, 0)), ((2.0, 2.0), (0, 0)), ((0.0, 0.0), (1, 0))),
    "by hand: t1 = t0 and (t0 + 1) t0 (t0 - 2) = 0; depths -5/12 and -8/3, the pass at height 0",
    True,
    passes=(0.0,),
)
ring = Landscape(
    "ring with two passes",
    lambda t, m: (t[0] ** 2 + t[1] ** 2 - 1) ** 2 + t[1] ** 2 / 2,
    2,
    (
        ((1.0, 0.0), (0, 0)),
        ((-1.0, 0.0), (0, 0)),
        ((0.0, math.sqrt(0.75)), (1, 0)),
        ((0.0, -math.sqrt(0.75)), (1, 0)),
        ((0.0, 0.0), (2, 0)),
    ),
    "by hand: t0 (r² - 1) = 0 = t1 (4 (r² - 1) + 1); along either arc the height is 7/16 at most, "
    "on the segment between the minima 1",
    True,
    passes=(0.4375, 0.4375),
)
banana = Landscape(
    "bent valley",
    lambda t, m: (t[0] ** 2 - 1) ** 2 + 10 * (t[1] - 1 + t[0] ** 2) ** 2,
    2,
    (((-1.0, 0.0), (0, 0)), ((1.0, 0.0), (0, 0)), ((0.0, 1.0), (1, 0))),
    "by hand, after Rosenbrock (1960): t1 = 1 - t0² along the valley, where f = (t0² - 1)²; the "
    "segment between the minima rises to 11",
    True,
    passes=(1.0,),
)


def needle(width: float = 1e-3, *, samples: int = 61) -> Landscape:
    """A ridge exp(-(t0 - c)² / 2w²) + t1² that an even sampling of t0 in [0, 1] steps over.

    c is the middle of the gap after the middle one of the samples; c = 61/120 for 61 of them. At
    the nearest sample the height is exp(-(1/120w)²/2): 8·10⁻¹⁶ for w = 1/1000.

    Args:
        width: w > 0.
        samples: how many, both ends included, 2 or more.

    Example:
        >>> import torch
        >>> f = needle().objective()
        >>> along = [f.value(torch.tensor([k / 60, 0.0], dtype=torch.float64)) for k in range(61)]
        >>> top = torch.tensor([61 / 120, 0.0], dtype=torch.float64)
        >>> max(along) < 1e-14, f.value(top)
        (True, 1.0)
    """
    last = samples - 1
    centre = (2 * (last // 2) + 1) / (2 * last)
    return Landscape(
        f"needle of width {width:g}",
        lambda t, m: m.exp(-((t[0] - centre) ** 2) / (2 * width**2)) + t[1] ** 2,
        2,
        (((centre, 0.0), (1, 0)),),
        "by hand: Hessian diag(-1/w², 2) at the top; f has no minimum",
        False,
        passes=(1.0,),
    )
