"""What is proved of a network with ReLU, and what is not; the same network with softplus."""

import torch

import morsescape as ms

generator = torch.Generator().manual_seed(0)
x = torch.randn(100, 4, generator=generator)
y = (x[:, 0] * x[:, 1] > 0).long()


def objective(activation):
    """Four inputs, six hidden units, two classes, from the same parameters."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 6), activation, torch.nn.Linear(6, 2))
    return ms.Objective(model.eval(), "cross_entropy", (x, y), l2=1e-3)


kinked = objective(torch.nn.ReLU())
print(ms.plan(kinked))

# Signs: proved, of the smooth piece on which the point lies.
signs = ms.inertia(kinked)
print(signs)
assert signs.status is ms.InertiaStatus.PROVED
assert signs.not_smooth == ("relu",)

# A minimum: the descent ends at a kink, and a point at a kink is no critical point.
end = ms.find_critical_point(kinked)
print(end)
assert end.certificate.status is ms.CertificateStatus.NOT_SMOOTH

# A height: proved all the same, by slopes where there is a kink.
path = ms.connect(kinked, kinked.theta, end, method="line", align=False)
print(path)
assert path.height.estimate is None
assert path.height.kinked > 0

# With softplus in place of ReLU the same search ends at a proved minimum.
smooth = ms.find_critical_point(objective(torch.nn.Softplus()))
print(smooth)
assert smooth.index == 0
assert smooth.certificate.status is ms.CertificateStatus.PROVED
