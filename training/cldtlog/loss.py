"""CLDTLog's loss: triplets over the embeddings, focal over the probabilities.

Owns the formulas and the choice of triplets. Does not know what is embedded.
"""

import torch
from torch import Tensor, nn


def focal(logits: Tensor, anomalous: Tensor, gamma: float, weight: Tensor | None = None) -> Tensor:
    """Mean of ``-(1 - p_t)^gamma log p_t`` over ``logits`` float32 [n] with labels bool [n]; p_t is the probability of
    the true class. ``weight`` float32 [n] that sums to 1 takes the place of the plain mean."""
    true = torch.where(anomalous, logits, -logits)
    each = torch.sigmoid(-true) ** gamma * nn.functional.softplus(-true)
    return each.mean() if weight is None else (each * weight).sum()


def triplet(embeddings: Tensor, anomalous: Tensor, margin: float, generator: torch.Generator | None = None) -> Tensor:
    """Mean of ``[|z_a - z_p| - |z_a - z_n| + margin]_+`` over triplets of ``embeddings`` float32 [n, width] with labels
    bool [n].

    Every pair (a, p) of one class takes one negative: with a ``generator`` a random one among those that break the
    margin (semi-hard: farther than p; hard: nearer), as the hardest alone makes embeddings collapse; without, in
    validation, the nearest. 0 where no pair has a negative, as in a batch of one class or where none breaks the margin.
    """
    distance = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    same = anomalous[:, None] == anomalous[None, :]
    anchor, positive = torch.nonzero(same.fill_diagonal_(False), as_tuple=True)
    other = anomalous[anchor][:, None] != anomalous[None, :]
    near = distance[anchor, positive]
    excess = near[:, None] + margin - distance[anchor]
    breaks = other & (excess > 0)
    if not bool(breaks.any()):
        # Still a function of the network, so that it may be added up and differentiated.
        return embeddings.sum() * 0.0
    if generator is None:
        choice = torch.where(breaks, excess, -torch.inf).argmax(dim=1)
    else:
        choice = torch.where(breaks, torch.rand(breaks.shape, generator=generator), -1.0).argmax(dim=1)
    chosen = excess.gather(1, choice[:, None])[:, 0]
    return chosen[breaks.any(dim=1)].mean()


def combined(
    logits: Tensor,
    embeddings: Tensor,
    anomalous: Tensor,
    *,
    alpha: float,
    margin: float,
    gamma: float,
    generator: torch.Generator | None = None,
    weight: Tensor | None = None,
) -> Tensor:
    """``alpha * triplet + (1 - alpha) * focal``; of a batch of one class the focal part alone, unscaled."""
    spread = focal(logits, anomalous, gamma, weight)
    if bool(anomalous.all()) or not bool(anomalous.any()):
        return spread
    return alpha * triplet(embeddings, anomalous, margin, generator) + (1.0 - alpha) * spread
