"""The counts that the paper publishes, to be shown beside what is measured."""

from __future__ import annotations

from dataclasses import dataclass

from morsescape.boundary import checked, instance
from morsescape.experiments.point import PointSettings

CITATION = "Akhtiamov & Thomson 2022"
_SAMPLES = 60_000


@dataclass(frozen=True)
class Published:
    """A published number of negative Hessian eigenvalues: mean and standard deviation of 10 runs.

    Example:
        >>> print(Published(232.9, 2.88))
        232.9 ± 2.88
    """

    mean: float
    sd: float

    def __str__(self) -> str:
        return f"{self.mean:g} ± {self.sd:g}"


# (net, data, at), tables 5.2 and 5.5 of the paper.
_TABLE = {
    ("cnn", "mnist", "trained"): Published(232.9, 2.88),
    ("cnn", "fashion-mnist", "trained"): Published(238.5, 4.88),
    ("cnn", "mnist", "random"): Published(182.91, 80.17),
    ("cnn", "fashion-mnist", "random"): Published(189.48, 79.85),
    ("mlp2", "mnist", "trained"): Published(1980.1, 130.4),
    ("mlp2", "fashion-mnist", "trained"): Published(3637.9, 119.92),
    ("mlp2", "mnist", "random"): Published(1186.2, 198.25),
    ("mlp2", "fashion-mnist", "random"): Published(2840.9, 387.35),
    ("mlp3", "mnist", "trained"): Published(2033.8, 124.00),
    ("mlp3", "fashion-mnist", "trained"): Published(3593.3, 208.61),
    ("mlp3", "mnist", "random"): Published(1410.3, 235.31),
    ("mlp3", "fashion-mnist", "random"): Published(2721.9, 272.12),
}


@checked(settings=instance(PointSettings, "PointSettings(...) makes one"))
def published(settings: PointSettings) -> Published | None:
    """The paper's number for this setting; None where the setting is not the paper's.

    The paper's: ReLU, max pooling, λ = 0, all training images, its optimizer. Learning rates and
    epochs are not in the paper.

    Source:
        Akhtiamov & Thomson, tables 5.2 and 5.5.

    Example:
        >>> print(published(PointSettings(net="cnn", data="mnist")))
        232.9 ± 2.88
        >>> published(PointSettings(net="cnn", data="mnist", activation="tanh"))
    """
    usual = "adam" if settings.net == "cnn" else "sgd"
    same = (
        settings.objective is None
        and settings.checkpoint is None
        and settings.activation == "relu"
        and (settings.net != "cnn" or settings.pool == "max")
        and not settings.l2
        and settings.samples in (None, _SAMPLES)
        and settings.optimizer in (None, usual)
    )
    return _TABLE.get((settings.net, settings.data, settings.at)) if same else None
