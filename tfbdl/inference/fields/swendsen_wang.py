"""The algorithm of Swendsen and Wang: clusters of equal labels change theirs together.

    r_e ~ Bernoulli(1 - exp(-beta_e)) where z_i = z_j, else 0
    p(label k of cluster C | r) ~ prod_{i in C} exp(log_likelihood[i, k])

References:
    Swendsen & Wang 1987, PRL 58; Edwards & Sokal 1988, PRD 38 (the joint density of z and r);
    Higdon 1998, "Auxiliary variable methods for Markov chain Monte Carlo", JASA 93 (data).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import ModelError
from .draws import BONDS, LABELS, Streams, categorical
from .field import Field
from .graph import components
from .potts import Potts


class Bonds:
    """The auxiliary variables: which edges tie their ends together.

    Args:
        field: Whose couplings are not negative, unless ``share`` is 0.
        share: How much of each coupling ties; the rest is left as a coupling.

    Raises:
        ModelError: If a coupling that should tie is negative.
    """

    def __init__(self, field: Field, share: float = 1.0) -> None:
        negative = field.beta < 0
        if share > 0 and negative.any():
            edge = int(np.argmax(negative))
            raise ModelError(
                "Swendsen-Wang ties equal neighbours together: couplings are 0 or more. Received: "
                f"beta {field.beta[edge]:g} at the edge {field.edges[edge].tolist()}. "
                "engine='gibbs' takes couplings of any sign."
            )
        order = np.lexsort(field.edges.T[::-1])
        self.num_sites, self.beta = field.num_sites, field.beta[order]
        self.first, self.second = (np.ascontiguousarray(c) for c in field.edges[order].T)
        self.probability = -np.expm1(-share * self.beta)

    def clusters(self, z: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, int]:
        """Draw the bonds given labels ``[chain, site]``; what they tie together.

        Returns:
            As ``components``: the cluster of each site, ``[chain, site]``, and their number.
        """
        equal = z[:, self.first] == z[:, self.second]
        bonds = equal & (rng.random(equal.shape) < self.probability)
        return components(bonds, self.first, self.second, self.num_sites)


class SwendsenWang:
    """A sweep over all chains at once.

    Args:
        field: The Potts model.

    Raises:
        ModelError: If a coupling is negative.
    """

    def __init__(self, field: Potts) -> None:
        self.field, self.bonds = field, Bonds(field)

    def sweep(self, z: np.ndarray, streams: Streams, number: int) -> np.ndarray:
        """New labels ``[chain, site]`` after those of the sweep before."""
        clusters, count = self.bonds.clusters(z, streams.generator(number, BONDS))
        rng = streams.generator(number, LABELS)
        states = self.field.num_states
        if self.field.log_likelihood is None:
            return rng.integers(states, size=count)[clusters]
        logits = self._logits(clusters, count, self.field.log_likelihood)
        return categorical(logits, rng.random(count))[clusters]

    @staticmethod
    def _logits(clusters: np.ndarray, count: int, log_likelihood: Any) -> np.ndarray:
        """The log likelihood of each label of each cluster: ``[cluster, state]``."""
        flat, chains = clusters.ravel(), len(clusters)
        sums = [np.bincount(flat, np.tile(of, chains), count) for of in log_likelihood.T]
        return np.stack(sums, axis=1)
