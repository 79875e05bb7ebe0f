"""How many directions lead down from a point of your own model's loss: proved, or why not."""

import torch

import morsescape as ms

generator = torch.Generator().manual_seed(0)
x = torch.randn(200, 6, generator=generator)
y = (x[:, 0] * x[:, 1] > 0).long()  # an exclusive or, with four inputs that do not matter

torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)).eval()
f = ms.Objective(model, "cross_entropy", (x, y))

print(f.hessian_plan())
counted = ms.inertia(f, raw=True)
print(counted)
print("naive:", counted.raw_negative, "null space:", counted.null_explained)

low, high = counted.negative
assert 0 <= low <= high <= counted.structural_upper_bound  # ReLU: no more than D minus a layer
assert counted.null[0] >= counted.null_explained["softmax shift"] == 6
