"""A cloud of points in parameter space: how far apart they are, and how they look in the plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.spatial.distance import squareform
from torch import Tensor

SAME = 1e-3  # relative distance up to which two points are said to coincide
QUANTILES = {"smallest": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "largest": 1.0}


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances of all pairs of solutions, absolute, and relative to √(|θ|² + |θ'|²).

    A relative distance of 1 is that of vectors at right angles, which unrelated vectors in high
    dimension nearly are; 0 that of equal ones.

    Attributes:
        absolute, relative: shape (M(M - 1)/2,), in the order of `pdist`.

    Example:
        >>> import torch
        >>> points = torch.eye(3).double()
        >>> distances = Distances.of(np.sqrt([2.0, 2.0, 2.0]), points)
        >>> distances.relative.round(12).tolist(), distances.same
        ([1.0, 1.0, 1.0], 0)
    """

    absolute: Float64[np.ndarray, "pairs"]
    relative: Float64[np.ndarray, "pairs"]

    @classmethod
    def of(cls, absolute: np.ndarray, points: Tensor) -> Distances:
        """With the norms of the points."""
        first, second = np.triu_indices(len(points), 1)
        squares = points.square().sum(1).numpy()
        return cls(absolute, absolute / np.sqrt(squares[first] + squares[second]))

    @property
    def nearest(self) -> Float64[np.ndarray, "M"]:
        """The relative distance of each solution to its nearest neighbour."""
        square = squareform(self.relative)
        np.fill_diagonal(square, np.inf)
        return square.min(1)

    @property
    def same(self) -> int:
        """How many pairs coincide: relative distance at most `SAME`."""
        return int((self.relative <= SAME).sum())

    def to_json(self) -> dict[str, Any]:
        """Quantiles and the number of pairs that coincide."""
        kinds = {"absolute": self.absolute, "relative": self.relative, "nearest": self.nearest}
        return {
            "pairs": len(self.absolute),
            "same": self.same,
            "same_definition": f"relative distance at most {SAME:g}",
            **{name: quantiles(values) for name, values in kinds.items()},
        }


@dataclass(frozen=True, eq=False)
class Plane:
    """The projection on the two directions of largest variance.

    Attributes:
        coordinates: shape (M, 2).
        shares: of the variance that each direction explains.

    Example:
        >>> import torch
        >>> points = torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).double()
        >>> [round(share, 3) for share in Plane.of(points).shares]
        [0.927, 0.073]
    """

    coordinates: Float64[np.ndarray, "M 2"]
    shares: tuple[float, float]

    @classmethod
    def of(cls, points: Tensor) -> Plane:
        """By PCA, with a full singular value decomposition and fixed signs."""
        from sklearn.decomposition import PCA  # late: only here

        pca = PCA(n_components=2, svd_solver="full")
        coordinates = pca.fit_transform(points.numpy())
        first, second = pca.explained_variance_ratio_.tolist()
        return cls(coordinates, (first, second))


def quantiles(values: np.ndarray) -> dict[str, float]:
    """From the smallest to the largest, at the shares of `QUANTILES`.

    Example:
        >>> quantiles(np.arange(101.0))["95 %"]
        95.0
    """
    found = np.quantile(values, list(QUANTILES.values()))
    return dict(zip(QUANTILES, found.tolist(), strict=True))
