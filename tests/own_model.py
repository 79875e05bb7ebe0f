"""A file of a user's, as `--objective` takes it: small models that are counted in no time."""

OWN = """
import torch
from beside import SIZE
from morsescape.objective import Objective

def saddle():
    return Objective.from_function(lambda t: t[0] ** 2 - t[1] ** 2 + t[2:].square().sum(), SIZE)

def seeded(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(12, 2, generator=generator, dtype=torch.float64)
    model = torch.nn.Sequential(torch.nn.Linear(2, 2 + GROW * seed))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return Objective(model, "cross_entropy", (x, (x[:, 0] > 0).long()), l2=0.25)

def number():
    return 3

def fails():
    raise ValueError("two\\nlines")

def leaves():
    raise SystemExit("bye")

def refused():
    return Objective(torch.nn.Linear(2, 2), "hinge", (torch.zeros(1, 2), torch.zeros(1)))

GROW = 0
"""


def write(folder):
    """Write the file, and the one beside it that it imports; returns its path."""
    (folder / "beside.py").write_text("SIZE = 3\n")
    file = folder / "own.py"
    file.write_text(OWN)
    return file
