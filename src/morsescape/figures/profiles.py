"""Loss and accuracy along a curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from morsescape.errors import ArgumentError
from morsescape.figures.style import BLUE, GREY, VERMILLION, dress, own_axes
from morsescape.paths.profile import Profile

Upper = Sequence[tuple[float, float, float]]  # (t0, t1, bound on f over [t0, t1])
Lower = Sequence[tuple[float, float]]  # (t, bound on f there)


def profile_loss(
    profile: Profile,
    ax: Axes | None = None,
    *,
    upper: Upper | None = None,
    lower: Lower | None = None,
) -> Axes:
    """F over t on the training data, L on test data, and a band in which f is enclosed.

    Args:
        profile: as measured.
        ax: where to draw; None makes a figure.
        upper: (t0, t1, bound): f is at most this on [t0, t1]; drawn as steps.
        lower: (t, bound): f is at least this at t; drawn as points, and as the band's lower edge,
            which between them is a line that guides the eye.

    Raises:
        ArgumentError: segments that are empty or leave [0, 1].

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.curve import Curve
        >>> from morsescape.paths.profile import profile
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2, 1)
        >>> found = profile(f, Curve.chain(torch.tensor([[-1.0], [1.0]]).double()))
        >>> ax = profile_loss(found, upper=[(0.0, 1.0, 1.5)], lower=[(0.5, 1.0)])
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['upper bound of f', 'lower bound of f', 'f']
    """
    ax = own_axes(ax, 4.8, 3.0)
    _band(ax, upper or (), lower or ())
    tested = None if profile.test is None else profile.test.data_loss
    return _over_t(ax, profile.t, ("f", profile.loss), ("L, test data", tested), "loss")


def profile_accuracy(profile: Profile, ax: Axes | None = None) -> Axes:
    """The accuracy over t, on training and test data.

    Raises:
        ArgumentError: a profile without accuracy.
    """
    if profile.accuracy is None:
        raise ArgumentError(
            "profile", expected="one with an accuracy", got="None", cure="draw its loss alone"
        )
    ax = own_axes(ax, 4.8, 1.8)
    tested = None if profile.test is None else profile.test.accuracy
    percent = None if tested is None else 100 * tested
    own = "training data", 100 * profile.accuracy
    return _over_t(ax, profile.t, own, ("test data", percent), "accuracy (%)")


def profile_figure(
    profile: Profile,
    *,
    upper: Upper | None = None,
    lower: Lower | None = None,
    title: str = "",
) -> Figure:
    """The loss, and the accuracy in a panel below it where there is one.

    What a profile warns of is written under it.

    Example:
        >>> import torch, morsescape as ms
        >>> from morsescape.paths.curve import Curve
        >>> from morsescape.paths.profile import profile
        >>> f = ms.Objective.from_function(lambda t: (t[0] ** 2 - 1) ** 2, 1)
        >>> found = profile(f, Curve.chain(torch.tensor([[-1.0], [1.0]]).double()))
        >>> len(profile_figure(found).axes)
        1
    """
    both = profile.accuracy is not None
    figure = Figure(figsize=(4.8, 4.4 if both else 3.0), layout="constrained")
    panels = figure.subplots(
        1 + both, 1, sharex=True, squeeze=False, height_ratios=[2, 1][: 1 + both]
    )[:, 0]
    profile_loss(profile, panels[0], upper=upper, lower=lower)
    if both:
        panels[0].set_xlabel("")
        profile_accuracy(profile, panels[1])
    if title:
        figure.suptitle(title, fontsize=9)
    if profile.warning:
        figure.supxlabel(profile.warning, fontsize=6.5, wrap=True)
    return figure


# -- inside ---------------------------------------------------------------------------------------


def _legend(ax: Axes) -> None:
    ax.legend(
        fontsize=8, frameon=False, ncols=3, handlelength=1.4, loc="lower left",
        bbox_to_anchor=(0, 1), borderaxespad=0.2,
    )  # fmt: skip


def _band(ax: Axes, upper: Upper, lower: Lower) -> None:
    segments, samples = sorted(upper), np.array(sorted(lower), dtype=float).reshape(-1, 2)
    for start, end, _ in segments:
        if not 0 <= start < end <= 1:
            raise ArgumentError(
                "upper", expected="segments (t0, t1, bound) with 0 ≤ t0 < t1 ≤ 1",
                got=f"({start:g}, {end:g}, …)", cure="sort each segment's ends",
            )  # fmt: skip
    for place, (start, end, bound) in enumerate(segments):
        label = "upper bound of f" if place == 0 else "_"
        ax.plot([start, end], [bound, bound], color=GREY, lw=1.0, label=label)
        if len(samples):
            inside = samples[(samples[:, 0] > start) & (samples[:, 0] < end), 0]
            t = np.array([start, *inside, end])
            below = np.interp(t, samples[:, 0], samples[:, 1])
            ax.fill_between(t, below, bound, color=GREY, alpha=0.25, lw=0)
    if len(samples):
        ax.plot(samples[:, 0], samples[:, 1], ls="none", marker=".", ms=2.5, color="black",
                label="lower bound of f")  # fmt: skip


def _over_t(
    ax: Axes, t: Tensor, own: tuple[str, Tensor], tested: tuple[str, Tensor | None], what: str
) -> Axes:
    """A line of the training data and, where there is one, a dashed one of the test data."""
    ax.plot(t.numpy(), own[1].numpy(), color=BLUE, lw=1.3, label=own[0])
    if tested[1] is not None:
        ax.plot(t.numpy(), tested[1].numpy(), color=VERMILLION, lw=1.1, ls="--", label=tested[0])
    ax.set_xlim(0, 1)
    dress(ax, "t", what)
    _legend(ax)
    return ax
