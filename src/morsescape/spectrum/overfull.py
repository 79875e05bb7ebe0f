"""Null vectors that the pattern of zeros alone proves: more inputs than samples that see them.

For the weights of one unit, let X hold its inputs on the samples on which it is active. Rows of
Hess L are sums over those samples of numbers times inputs, so X v = 0 makes v null, exactly. If k
columns of X are nonzero on r < k rows only, then k - r of the v on these columns are null,
whatever the numbers are. The best such columns come from a maximum matching of columns to rows
(König; Dulmage & Mendelsohn 1958): those that alternating paths reach from unmatched ones, and
k - r is the number of the unmatched. The count itself is checked: r is counted again.

A column that is nonzero on as many rows as there are columns always finds a row, so that it is
left out of the matching: what is left is small.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csc_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from torch import Tensor

from morsescape.hessian.patterns import Pattern


def overfull(pattern: Pattern, free: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For each unit the columns that are too many, and the samples that see them.

    Args:
        pattern: of the layer's inputs.
        free: (units, features + bias) True where the row of the Hessian is not zero altogether.

    Returns:
        (columns, samples) for each unit; len(columns) - len(samples) vectors on them are null.
    """
    few = free & (pattern.meetings < free.sum(1, keepdim=True))
    if not bool(few.any()):
        none = torch.zeros(0, dtype=torch.long)
        return [(none, none)] * len(free)
    active, present = pattern.active, pattern.present
    found = []
    for unit, sparse in enumerate(few):
        columns = sparse.nonzero().squeeze(1)
        seen = present[:, columns] & active[:, unit, None]
        samples = seen.any(1).nonzero().squeeze(1)
        chosen = torch.from_numpy(unmatched(seen[samples].numpy()))
        found.append((columns[chosen], samples[seen[samples][:, chosen].any(1)]))
    return found


def unmatched(pattern: np.ndarray) -> np.ndarray:
    """Columns that alternating paths reach from those that a maximum matching leaves out.

    Example:
        >>> two_rows_see_three_columns = [[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]
        >>> unmatched(np.array(two_rows_see_three_columns, dtype=bool))
        array([0, 1, 2])
    """
    rows, columns = pattern.shape
    if rows == 0:
        return np.arange(columns)
    sparse = csc_matrix(pattern)
    row_of = maximum_bipartite_matching(sparse.tocsr(), perm_type="row")
    column_of = np.full(rows, -1)
    column_of[row_of[row_of >= 0]] = np.flatnonzero(row_of >= 0)
    reached = row_of < 0
    waiting = list(np.flatnonzero(reached))
    while waiting:
        column = waiting.pop()
        for row in sparse.indices[sparse.indptr[column] : sparse.indptr[column + 1]]:
            other = column_of[row]
            if other >= 0 and not reached[other]:
                reached[other] = True
                waiting.append(other)
    return np.flatnonzero(reached)
