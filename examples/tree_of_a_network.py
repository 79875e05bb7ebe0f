"""Which minima of a small network lie in one component of {f ≤ ε}: passes and the merge tree."""

import torch

import morsescape as ms

generator = torch.Generator().manual_seed(0)
x = torch.rand(20, 2, generator=generator)
y = (3 * x).sum(1).long() % 2
model = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)).eval()
f = ms.Objective(model, "cross_entropy", (x, y), l2=2e-3)

starts = torch.randn(5, f.dim, generator=generator, dtype=torch.float64)
minima = [ms.find_critical_point(f, start) for start in starts]
graph = ms.morse_graph(f, minima)  # copies under symmetries of f count once
tree = graph.merge_tree()
print(graph)
print(tree)
print(graph.passes[0])

low, high = graph.threshold  # all minima are in one component of {f ≤ ε} for every ε ≥ high
assert len(minima) == 5
assert len(graph.minima) == 2
assert all(over.proved for over in graph.passes)
assert len(tree.components(high)) == 1
assert len(tree.components(max(value[1] for value in graph.values))) == 2
