"""Single-site Gibbs sampling of a Potts model, in colours: a class without neighbours at once.

    p(z_i = k | rest) ~ exp(sum_{j ~ i} beta_ij 1[z_j = k] + log_likelihood[i, k])

References:
    Geman & Geman 1984, "Stochastic relaxation, Gibbs distributions, and the Bayesian restoration
    of images", IEEE PAMI 6.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from .draws import LABELS, ORDER, Streams, categorical
from .graph import greedy_coloring
from .potts import Potts


class SingleSite:
    """A sweep over all chains at once, colour after colour.

    Args:
        field: The Potts model.
        random_order: Whether each sweep takes the colours in an order of its own.
    """

    def __init__(self, field: Potts, *, random_order: bool = False) -> None:
        self.field, self.random_order = field, random_order
        n = field.num_sites
        i, j = field.edges.T
        couplings = sparse.coo_array((field.beta, (i, j)), (n, n)).tocsr()
        couplings = (couplings + couplings.T).tocsr()
        colors = greedy_coloring(field.edges, n)
        self.classes = [np.flatnonzero(colors == c) for c in range(colors.max() + 1)]
        self.couplings = [couplings[sites] for sites in self.classes]

    def sweep(self, z: np.ndarray, streams: Streams, number: int) -> np.ndarray:
        """New labels ``[chain, site]`` after those of the sweep before."""
        chains, states = len(z), self.field.num_states
        u = streams.generator(number, LABELS).random(z.shape)
        order = np.arange(len(self.classes))
        if self.random_order:
            order = streams.generator(number, ORDER).permutation(order)
        labels = np.arange(states)
        alike = z.T[:, :, np.newaxis] == labels
        one_hot = alike.astype(np.float64, order="C")  # [site, chain, state]
        flat = one_hot.reshape(self.field.num_sites, -1)
        z = z.copy()
        for color in order:
            sites = self.classes[color]
            logits = (self.couplings[color] @ flat).reshape(len(sites), chains, states)
            if self.field.log_likelihood is not None:
                logits += self.field.log_likelihood[sites, np.newaxis]
            drawn = categorical(logits, u[:, sites].T)
            one_hot[sites] = drawn[:, :, np.newaxis] == labels
            z[:, sites] = drawn.T
        return z
