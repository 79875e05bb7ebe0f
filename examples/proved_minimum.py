"""A module of one's own with a DataLoader: trained by Adam, then taken to a proved minimum."""

import torch
from torch.utils.data import DataLoader, TensorDataset

import morsescape as ms


class Residual(torch.nn.Module):
    """One block with a skip, and a readout."""

    def __init__(self):
        super().__init__()
        self.block, self.readout = torch.nn.Linear(4, 4), torch.nn.Linear(4, 3)

    def forward(self, x):
        """Scores of three classes."""
        return self.readout(x + torch.tanh(self.block(x)))


torch.manual_seed(0)
x = torch.randn(120, 4)
batches = DataLoader(TensorDataset(x, (x[:, :3] ** 2).argmax(1)), batch_size=32)

model, loss = Residual(), torch.nn.CrossEntropyLoss()
adam = torch.optim.Adam(model.parameters(), lr=0.02)
for _ in range(30):
    for inputs, targets in batches:
        adam.zero_grad()
        loss(model(inputs), targets).backward()
        adam.step()

# All batches together are the data of f; the model is read as it is.
f = ms.Objective(model.eval(), loss, batches, l2=1e-3)
print(ms.plan(f))

trained = ms.inertia(f)
print(trained)
assert trained.grad_norm > 1e-3  # where Adam stops is no critical point: the count is no index

minimum = ms.find_critical_point(f)  # from the model's own parameters on
print(minimum)
print(minimum.certificate)
assert minimum.status is ms.SearchStatus.MINIMUM
assert minimum.certificate.status is ms.CertificateStatus.PROVED
assert minimum.value < trained.value
