"""A softmax over some of the vocabulary, for training (Jean et al., 2015).

In a small BERT, most of a step's time goes into scores of the whole vocabulary for every masked
token. Frequent tokens need a score each time; of the rare ones a sample will do, if it is weighed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from minibert.model import LinearCrossEntropy


class SampledSoftmax:
    """Cross-entropy over about a sixth of the vocabulary, with its minimum in the same place.

    Each step takes the `always` most frequent tokens, the tokens to be predicted, and one in
    `one_in` of the rest, drawn with torch's generator. From the score of a token that is there
    with probability q, log q is subtracted: then the scores that fit best are those of the whole
    softmax (Jean et al., 2015, 3.1). The loss itself is lower, as there is less to choose from.
    """

    def __init__(
        self, counts: np.ndarray, num_targets: int, always: int = 512, one_in: int = 16
    ) -> None:
        """From the tokens' counts (V,), and how many tokens a step predicts, about."""
        counts = torch.from_numpy(np.asarray(counts, dtype=np.float64))
        self.one_in = one_in
        self.always = torch.zeros(len(counts), dtype=torch.bool)
        self.always[counts.argsort(descending=True, stable=True)[:always]] = True
        is_no_target = (1 - counts / counts.sum()) ** num_targets
        there = 1 - (1 - 1 / one_in) * is_no_target
        there[self.always] = 1.0
        self.log_there = there.log().float()  # (V,)

    def candidates(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Targets (M,) -> the tokens of this step's softmax (S,), and the targets' places there."""
        taken = self.always | (torch.rand(len(self.always)) < 1 / self.one_in)
        taken[targets] = True
        tokens = taken.nonzero()[:, 0]
        places = taken.cumsum(0) - 1
        return tokens, places[targets]

    def __call__(
        self, hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(M, D), (V, D), (V,), (M,) -> the summed loss () and how many beat all candidates ()."""
        tokens, places = self.candidates(targets.cpu())
        tokens, places = tokens.to(hidden.device), places.to(hidden.device)
        scores_off = self.log_there.to(hidden.device)[tokens]
        return LinearCrossEntropy.apply(hidden, weight[tokens], bias[tokens] - scores_off, places)
