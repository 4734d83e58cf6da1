"""DirichletPotts: a Potts model whose number of labels is unknown, by a Dirichlet process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.special import gammaln

from .field import Field
from .normal_gamma import NormalGamma, positive

PARTS = 10  # at the most, where a chain begins


class DirichletPotts(Field):
    """A field that divides sites into segments, as many as the data ask for.

        p(z | y) ~ exp(sum_e beta_e 1[z_i = z_j]) prod_k concentration Gamma(n_k) p(y_k)

    ``n_k`` is the number of sites of segment ``k`` and ``p(y_k)`` the marginal likelihood of their
    features: normal in each column, mean and variance integrated out (see ``NormalGamma``). The
    product over ``k`` is the Chinese restaurant process. Labels mean nothing in themselves: they
    are numbered in the order in which they first appear along the sites, so that site 0 has 0.

    Sizes count as much as borders do: dividing n sites in shares w costs about ``n H(w)`` nats of
    the restaurant's, H the entropy, which the features must make good by as much for each site.

    Args:
        edges: Pairs of neighbours, ``[m, 2]``; ``DirichletPotts.grid(shape)`` gives a grid's.
        features: What is seen at each site, ``[site, d]``; with ``d = 0``, nothing.
        beta: Coupling of each edge, ``[m]`` or one number.
        concentration: Of the Dirichlet process, above 0: more gives more segments.
        m0: Prior mean of a segment, a number or ``[d]``; None: the mean over all sites.
        kappa0: Sites that the prior mean is worth.
        a0: Shape of the inverse gamma prior of a segment's variances.
        b0: Its scale, a number or ``[d]``; None: a tenth of the variances over all sites.

    Attributes:
        beta: ``[m]``.
        evidence: The NormalGamma of the features.

    Raises:
        ModelError: If shapes do not agree, or a number is not finite or out of its range.

    References:
        Xu, Caron & Doucet 2016, "Bayesian nonparametric image segmentation using a generalised
        Swendsen-Wang algorithm", arXiv:1602.03048.

    Example:
        ```python
        import numpy as np
        from tfbdl.inference import DirichletPotts

        features = np.repeat([[0.0], [3.0]], 32, axis=0)
        field = DirichletPotts(DirichletPotts.grid((8, 8)), features, beta=0.5)
        fit = tfbdl.fit(field, None, engine="swendsen_wang", seed=1)
        fit.posterior.sample_stats["num_segments"]
        ```
    """

    stat_names: ClassVar[tuple[str, ...]] = ("lp", "equal_edges", "largest_share", "num_segments")

    def __init__(
        self,
        edges: Any,
        features: Any,
        beta: Any,
        concentration: float = 1.0,
        *,
        m0: Any = None,
        kappa0: float = 0.01,
        a0: float = 2.0,
        b0: Any = None,
    ) -> None:
        self.evidence = NormalGamma(features, m0, kappa0, a0, b0)
        super().__init__(edges, len(self.evidence.features), beta)
        self.concentration = positive("concentration", concentration)
        self.log_factorials = gammaln(np.maximum(np.arange(self.num_sites + 1), 1))

    def log_prob(self, z: Any) -> np.ndarray:
        """The log density up to its normaliser, of labels ``[..., site]``, in nats: ``[...]``.

        Raises:
            DataError: If these are no labels of this field.
        """
        labels = self.checked(z)
        flat = labels.reshape(-1, self.num_sites)
        size, sums, squares = self.segments(flat)
        used = size > 0
        prior = np.where(used, np.log(self.concentration) + self.log_factorials[size], 0.0)
        terms = prior + self.evidence.log_evidence(size, sums, squares)
        return self._equal(labels) @ self.beta + terms.sum(axis=1).reshape(labels.shape[:-1])

    def segments(self, z: np.ndarray, room: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sites, sums and sums of squares of the segments of labels ``[chain, site]``.

        Args:
            z: The labels.
            room: So many empty segments more.

        Returns:
            ``[chain, label]``, ``[chain, label, d]`` (less m0) and ``[chain, label, d]``.
        """
        chains, labels = len(z), int(z.max()) + 1 + room
        groups = z + labels * np.arange(chains)[:, np.newaxis]
        parts = self.evidence.sums(groups, chains * labels)
        return tuple(p.reshape(chains, labels, *p.shape[1:]) for p in parts)  # type: ignore[return-value]

    def statistics(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """``lp``, ``equal_edges``, the largest segment's share, and how many segments there are."""
        flat = self.checked(z).reshape(-1, self.num_sites)
        size = self.segments(flat)[0]
        leading = np.shape(z)[:-1]
        return {
            "lp": self.log_prob(z),
            "equal_edges": self.equal_edges(z),
            "largest_share": (size.max(axis=1) / self.num_sites).reshape(leading),
            "num_segments": np.sum(size > 0, axis=1).reshape(leading),
        }

    def initial(self, chains: int, rng: np.random.Generator) -> np.ndarray:
        """Labels ``[chain, site]`` at random, of up to ten segments."""
        parts = rng.integers(1, PARTS + 1, size=(chains, 1))
        return in_order_of_appearance(rng.integers(parts, size=(chains, self.num_sites)))

    def get_state(self) -> Mapping[str, np.ndarray]:
        """The arguments as arrays."""
        return {
            "edges": self.edges,
            "features": self.evidence.features,
            "beta": self.beta,
            "concentration": np.asarray(self.concentration),
            "m0": self.evidence.m0,
            "kappa0": np.asarray(self.evidence.kappa0),
            "a0": np.asarray(self.evidence.a0),
            "b0": self.evidence.b0,
        }


def in_order_of_appearance(z: np.ndarray) -> np.ndarray:
    """Labels ``[chain, site]`` renumbered from 0 as they first appear in each chain."""
    renumbered = np.empty_like(z)
    for chain, labels in enumerate(z):
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        rank = np.empty(len(first), z.dtype)
        rank[np.argsort(first)] = np.arange(len(first))
        renumbered[chain] = rank[inverse]
    return renumbered
