"""Two minima of a small network: a straight line, a better path, and what is proved of both."""

import torch

import morsescape as ms

g = torch.Generator().manual_seed(0)
x = torch.rand(60, 4, generator=g)
y = (3 * x).sum(1).long() % 3
model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).eval()
f = ms.Objective(model, "cross_entropy", (x, y), l2=1e-3)

starts = torch.randn(2, f.dim, generator=g, dtype=torch.float64)
a, b = (ms.find_critical_point(f, start) for start in starts)
print(a.conclusion, a.value, b.value)

line = ms.connect(f, a, b, method="line", align=False)
path = ms.connect(f, a, b, method="bezier")  # b is first moved next to a by a symmetry of f
print(line)
print(path)

# Nothing on the path is higher than this: both ends lie in one component of {f <= height.high}.
assert path.height.estimate is None
assert path.height.high < line.height.low
profile = path.profile(points=31)
assert float(profile.loss.max()) <= path.height.high * (1 + 1e-12)
