"""What a user writes, right and wrong, for mypy alone: it is not run."""

import torch
from torch import nn

import morsescape as ms


def script() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    model.load_state_dict(torch.load("model.pt", weights_only=True))
    data = torch.randn(8, 2), torch.randn(8, 1)
    f = ms.Objective(model, "mse", data, l2=1e-3)
    ms.Objective(model, nn.MSELoss(), data)
    ms.Objective(model, lambda output, target: (output - target).square().mean(), data)
    plane = ms.Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2, 2)

    signs: ms.Inertia = ms.inertia(f, f.theta, method="eigh", progress=True)
    least, most = signs.negative
    bounds: tuple[int, int] = (least, most)
    if signs.status is ms.InertiaStatus.PROVED:
        assert least == most

    first = ms.find_critical_point(f, target="minimum", method="auto", tol=1e-10)
    second: ms.CriticalPoint = ms.find_critical_point(f, torch.zeros(f.dim).double(), seed=1)
    certain: ms.Certificate | None = first.certificate
    back: nn.Module = f.load_into(model, first.theta)

    path: ms.Path = ms.connect(f, first, second.theta, method="string", height_tol=0.1)
    top: float = path.height.high
    barrier: tuple[float, float] = path.height.barrier
    nearest = ms.align(f, first.theta, second.theta, by="activations")
    all_paths: ms.Connected = ms.connected(f, [first, second], method="bezier", out="runs")
    graph: ms.MorseGraph = ms.morse_graph(f, [first, second], paths=all_paths)

    graph.save("graph")
    same: ms.MorseGraph = ms.MorseGraph.load("graph")
    point: ms.CriticalPoint = ms.CriticalPoint.load("point")
    for result in (signs, path.height, all_paths, graph):
        result.plot()
    ms.zoo.needle()

    ms.Objective(model, "mae", data)  # wrong: arg-type
    ms.inertia(f, method="eig")  # wrong: arg-type
    ms.inertia(model)  # wrong: arg-type
    ms.find_critical_point(f, target="saddle")  # wrong: arg-type
    ms.find_critical_point(f, method="newton")  # wrong: arg-type
    ms.find_critical_point(f, steps=3)  # wrong: call-arg
    ms.connect(f, first, second, method="straight")  # wrong: arg-type
    ms.connect(f, first, signs)  # wrong: arg-type
    ms.connected(f, [first], method="straight")  # wrong: arg-type
    ms.joined_copies(f, first, method="straight")  # wrong: arg-type
    ms.align(f, first.theta, second.theta, by="outputs")  # wrong: arg-type
    ms.morse_graph(f, [first.theta])  # wrong: list-item
    ms.MorseGraph.load(3)  # wrong: arg-type
    text: str = signs.negative  # wrong: assignment
    tree: ms.MergeTree = ms.MorseGraph.load("graph")  # wrong: assignment
    assert signs.status is ms.InertiaStatus.DECIDED  # wrong: attr-defined
    assert path.highest  # wrong: attr-defined
    ms.find_minimum(f)  # wrong: attr-defined
