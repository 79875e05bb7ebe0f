"""From a saddle of a small network down to index 0, without ever raising the loss."""

from itertools import pairwise

import torch

import morsescape as ms

x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh(), torch.nn.Linear(2, 1)).eval()
f = ms.Objective(model, "mse", (x, y), l2=1e-3)

way = ms.escape(f, 0.1 * torch.ones(f.dim).double())
print(way)
values = [step.value for step in way.trajectory]
assert way.trajectory[0].negative[0] > 0
assert way.status is ms.EscapeStatus.INDEX_ZERO
assert all(later < earlier for earlier, later in pairwise(values))

minimum = ms.find_critical_point(f, way.theta)
print(minimum)
assert minimum.index == 0
assert minimum.value <= values[-1]
