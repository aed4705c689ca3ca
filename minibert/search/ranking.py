"""How good a search is: where the right passage of each query comes in the order of the scores."""

from __future__ import annotations

import numpy as np


def ranks(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Scores (Q, N) and the right passage of each query (Q,) -> its rank, from 1 (Q,).

    Of passages with equal scores, the right passage comes last: a search that gives all passages
    the same score has found nothing.
    """
    own = np.take_along_axis(scores, right[:, None], 1)  # (Q, 1)
    return (scores >= own).sum(1)


def recall_at(k: int, rank: np.ndarray) -> np.ndarray:
    """Ranks (Q,) -> 1 where the right passage is among the first k, else 0 (Q,)."""
    return (rank <= k).astype(float)


def reciprocal_ranks(rank: np.ndarray) -> np.ndarray:
    """Ranks (Q,) -> 1 / rank (Q,). Their mean is the MRR (Voorhees, 1999)."""
    return 1 / rank
