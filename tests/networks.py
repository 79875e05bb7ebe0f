"""Small models with something known about their Hessian."""

import itertools

import torch
from torch import nn

from morsescape.objective import Objective


def mlp(sizes, activation=nn.Tanh, seed=0):
    """A chain of linear layers with an activation between them, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = []
        for n, m in itertools.pairwise(sizes):
            layers += [nn.Linear(n, m), activation()]
        return nn.Sequential(*layers[:-1]).eval()


def labelled(samples, features, classes, seed=0):
    """Inputs in [0, 1] and labels, drawn from a seed of their own."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(samples, features, generator=generator, dtype=torch.float64)
    return x, torch.randint(classes, (samples,), generator=generator)


def classifier(sizes=(5, 4, 3), activation=nn.Tanh, samples=40, seed=0, l2=0.0):
    """A small classifier on random data."""
    data = labelled(samples, sizes[0], sizes[-1], seed)
    return Objective(mlp(sizes, activation, seed), "cross_entropy", data, l2=l2)


def double_backward(f, theta=None):
    """Hess f column by column, by reverse over reverse: independent of all that is fast here."""
    theta = (f.theta if theta is None else theta).clone().requires_grad_()
    net = f.network
    loss = net.chunk_loss(net.unflatten(theta), net.x, net.y) + f.l2 * theta @ theta
    (gradient,) = torch.autograd.grad(loss, theta, create_graph=True)
    rows = [torch.autograd.grad(g, theta, retain_graph=True)[0] for g in gradient]
    return torch.stack(rows)
