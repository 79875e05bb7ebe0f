"""A minimum of a network is a critical point of a wider one, its new unit zero: of which index?"""

import torch

import morsescape as ms

x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])


def objective(units):
    """Exclusive or, with so many hidden units."""
    layers = torch.nn.Linear(2, units), torch.nn.Tanh(), torch.nn.Linear(units, 1)
    return ms.Objective(torch.nn.Sequential(*layers).eval(), "mse", (x, y), l2=1e-2)


narrow, wide = objective(1), objective(2)
start = torch.linspace(-1, 1, narrow.dim).double()
minimum = ms.find_critical_point(narrow, start)
embedded = ms.embed(narrow, minimum.theta, wide)
print(minimum)
print(embedded)

# The index is foretold before the wider network's Hessian is looked at. A proof without it agrees.
certificate = ms.certify(wide, embedded.theta)
print(certificate)
assert minimum.index == 0
assert certificate.status is ms.CertificateStatus.PROVED
assert embedded.index == certificate.index == (1, 1)

# Two ways down from the pass. They lead to one network with a unit flipped: f is equal there.
step = 0.1 * embedded.directions[0]
ends = [ms.find_critical_point(wide, embedded.theta + s * step) for s in (1, -1)]
print(*ends, sep="\n")
assert all(end.index == 0 and end.value < minimum.value for end in ends)
assert ms.same_solution(wide, ends[0].theta, ends[1].theta).same
