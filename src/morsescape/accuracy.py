"""The share of samples that a classifier has right."""

from __future__ import annotations

import torch
from torch import Tensor

from morsescape.objective import Objective


def accuracy(f: Objective, theta: Tensor) -> float | None:
    """Share of the samples whose largest output is that of their label; None without labels.

    Example:
        >>> import torch, morsescape as ms
        >>> data = torch.eye(2), torch.tensor([0, 1])
        >>> f = ms.Objective(torch.nn.Linear(2, 2, bias=False), "cross_entropy", data)
        >>> accuracy(f, torch.tensor([1.0, 0.0, 0.0, 1.0]).double())
        1.0
    """
    net = f.source
    if not net.loss.is_of_labels:
        return None
    parameters = net.unflatten(theta)
    with torch.no_grad():
        right = [(net.output(parameters, x).argmax(1) == y).sum() for x, y in net.chunks(4096)]
    return int(torch.stack(right).sum()) / net.samples
