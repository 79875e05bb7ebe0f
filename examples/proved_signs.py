"""The spectrum of a Hessian, and which of its signs are proved."""

import torch

import morsescape as ms

generator = torch.Generator().manual_seed(0)
x = torch.randn(150, 5, generator=generator)
y = (x[:, 0] * x[:, 1] > 0).long()

torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 3)).eval()
f = ms.Objective(model, "cross_entropy", (x, y))  # no ridge: some eigenvalues are exactly zero

signs = ms.inertia(f, method="eigh", raw=True)  # "eigh" keeps the eigenvalues
print(signs)
print("signs of computed eigenvalues:", signs.raw_negative)
print("exactly zero, and why:", signs.null_explained)

# A matrix does: signs are counted for every symmetric matrix within the radius of this one.
matrix = torch.diag(torch.tensor([-1.0, 1e-12, 2.0]).double())
counts = ms.count_by_ldl(matrix, radius=1e-9)
print(counts.negative, counts.null, counts.positive)

assert signs.status is ms.InertiaStatus.PROVED
assert signs.null == (7, 7)  # one value added to all outputs, for each of 6 inputs and the bias
assert signs.raw_negative["float32"] > signs.index  # the sign of a zero is noise
assert counts.negative == (1, 2)  # 1e-12 is within the radius of zero: its sign is not decided
assert counts.null == (0, 1)
