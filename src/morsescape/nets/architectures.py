"""The three networks of the paper, at any image size, with smooth variants."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from morsescape.boundary import a_seed, an_integer, checked, choice, named, pair
from morsescape.errors import ArgumentError, is_out_of_memory

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
}
POOLS: dict[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(2),
    "avg": lambda: nn.AvgPool2d(2),
}
_HIDDEN = 10
NAMES = ("mlp2", "mlp3", "cnn")


@checked(
    name=named("net", choice(NAMES)), image_shape=pair(an_integer(), "(height, width) in pixels"),
    classes=an_integer(), activation=choice(ACTIVATIONS), pool=choice(POOLS), seed=a_seed(),
)  # fmt: skip
def build(
    name: str,
    *,
    image_shape: tuple[int, int] = (28, 28),
    classes: int = 10,
    activation: str = "relu",
    pool: str = "max",
    seed: int = 0,
) -> nn.Sequential:
    """One of the paper's networks with PyTorch's default initialisation, drawn from `seed`.

    For images of h×w pixels and C classes, a the activation, p the 2×2 pooling, K a 5×5 convolution
    with one channel and padding 2:

    ====== ================================ =========================== ========
    name   network                          parameters                  28×28
    ====== ================================ =========================== ========
    mlp2   hw → 10 a → C                    10hw + 10 + 11C             7,960
    mlp3   hw → 10 a → 10 a → C             10hw + 120 + 11C            8,070
    cnn    K a p K a p → ⌊h/4⌋⌊w/4⌋ → C     52 + (⌊h/4⌋⌊w/4⌋ + 1)C      552
    ====== ================================ =========================== ========

    Parameters are float32 on the CPU. The global random state is neither used nor changed. With
    "relu" or "max" the loss is not twice differentiable everywhere: Morse theory does not apply.

    Args:
        name: "mlp2", "mlp3" or "cnn".
        image_shape: height and width of the images, in pixels.
        classes: number of outputs, C.
        activation: "relu" (the paper's), "tanh", "softplus" or "gelu".
        pool: "max" (the paper's) or "avg"; the MLPs have none and ignore it.
        seed: seed of the initialisation.

    Returns:
        A network from images of shape (n, 1, h, w) to logits of shape (n, C).

    Raises:
        ArgumentError: an unknown name or option, or images too small to pool twice.

    Source:
        Akhtiamov & Thomson, Connectedness of loss landscapes via the lens of Morse theory.

    Example:
        >>> from morsescape.nets import build
        >>> sum(p.numel() for p in build("mlp2").parameters())
        7960
        >>> build("cnn", image_shape=(8, 8))[-1]
        Linear(in_features=4, out_features=10, bias=True)
    """
    _check_sizes(name, image_shape, classes)
    # torch.manual_seed would also seed every GPU, which fork_rng(devices=[]) does not restore.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)
        try:
            layers = _LAYERS[name](image_shape, classes, ACTIVATIONS[activation], POOLS[pool])
        except (RuntimeError, TypeError) as error:
            if not _too_large(error):
                raise
            raise _bad_sizes(
                "sizes for which the memory is enough", image_shape, classes, "use smaller images"
            ) from error
        return nn.Sequential(*layers)


_Make = Callable[[], nn.Module]


def _mlp2(shape: tuple[int, int], classes: int, act: _Make, _pool: _Make) -> list[nn.Module]:
    return [
        nn.Flatten(),
        _linear(shape[0] * shape[1], _HIDDEN),
        act(),
        _linear(_HIDDEN, classes),
    ]


def _mlp3(shape: tuple[int, int], classes: int, act: _Make, _pool: _Make) -> list[nn.Module]:
    return [
        nn.Flatten(),
        _linear(shape[0] * shape[1], _HIDDEN),
        act(),
        _linear(_HIDDEN, _HIDDEN),
        act(),
        _linear(_HIDDEN, classes),
    ]


def _cnn(shape: tuple[int, int], classes: int, act: _Make, pool: _Make) -> list[nn.Module]:
    features = (shape[0] // 4) * (shape[1] // 4)
    blocks = [layer for _ in range(2) for layer in (_convolution(), act(), pool())]
    return [*blocks, nn.Flatten(), _linear(features, classes)]


def _linear(inputs: int, outputs: int) -> nn.Module:
    # The dtype is named, because the default dtype of the caller would change what is drawn.
    return nn.Linear(inputs, outputs, dtype=torch.float32)


def _convolution() -> nn.Module:
    return nn.Conv2d(1, 1, 5, padding=2, dtype=torch.float32)


_LAYERS = {"mlp2": _mlp2, "mlp3": _mlp3, "cnn": _cnn}


def _check_sizes(name: str, image_shape: tuple[int, int], classes: int) -> None:
    least = 4 if name == "cnn" else 1
    if min(image_shape) < least or classes < 2:
        raise _bad_sizes(
            f"at least {least}×{least} pixels for {name}, and 2 classes", image_shape, classes,
            "use larger images, or an MLP" if name == "cnn" else "pass the sizes of the data",
        )  # fmt: skip


def _too_large(error: Exception) -> bool:
    """Whether torch could not allocate so much, or not even count it."""
    return is_out_of_memory(error) or "overflow" in str(error).lower()


def _bad_sizes(expected: str, shape: tuple[int, int], classes: int, cure: str) -> ArgumentError:
    return ArgumentError(
        "image_shape and classes",
        expected=expected,
        got=f"{shape[0]}×{shape[1]} pixels and {classes} classes",
        cure=cure,
    )
