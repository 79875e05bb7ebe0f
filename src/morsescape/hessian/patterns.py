"""Where the inputs of a layer on the data are certainly zero, and where its units are inactive."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from morsescape.hessian.layers import LinearLayer
from morsescape.hessian.responses import Chunk


@dataclass
class Pattern:
    """Of one layer with one position whose inputs depend on the samples alone.

    A row of Hess L that belongs to unit j is a sum over the samples on which j is active, and on
    each it is a number per unit times the inputs. So X v = 0 there makes v null.

    Attributes:
        active: (N, units) True where the unit's error, or a response to it or of it, may not be 0.
        present: (N, features + bias) True where the input may not be 0.
        meetings: (units, features + bias): on how many samples both are.
    """

    meetings: Tensor
    _active: list[Tensor] = field(default_factory=list)
    _present: list[np.ndarray] = field(default_factory=list)

    def add(self, chunk: Chunk, layer: LinearLayer) -> None:
        """The next samples, once all their responses are noted; inputs take a bit each."""
        self._active.append(chunk.units[layer.weight][:, 0])
        features = chunk.features[layer.weight][:, 0]
        bias = features.new_ones(len(features), layer.bias is not None)
        self._present.append(np.packbits(torch.cat([features, bias], 1).numpy(), axis=1))

    @property
    def active(self) -> Tensor:
        """See above."""
        return torch.cat(self._active)

    @property
    def present(self) -> Tensor:
        """See above."""
        width = self.meetings.shape[1]
        bits = np.unpackbits(np.concatenate(self._present), axis=1)
        return torch.from_numpy(bits[:, :width]).bool()
