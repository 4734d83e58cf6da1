"""Potts: labels that like to agree along edges, each with a likelihood of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ...errors import ModelError
from .draws import categorical
from .field import Field


class Potts(Field):
    r"""A Potts model, of which the Ising model is the case of two states.

        p(z) ~ exp(sum_e beta_e 1[z_i = z_j] + sum_i log_likelihood[i, z_i])

    where ``e`` runs over the edges ``(i, j)``. Equal labels add ``beta``, others nothing. Ising's
    model with spins ``s = +-1`` and coupling ``J s_i s_j`` has ``J = beta / 2``.

    Args:
        edges: Pairs of neighbours, ``[m, 2]``; ``Potts.grid(shape, periodic=False)`` gives those
            of a grid. A pair that is given twice counts twice.
        num_sites: How many sites there are.
        num_states: Labels are from 0 to this, exclusive.
        beta: Coupling of each edge, ``[m]`` or one number; of any sign.
        log_likelihood: What each label of each site adds, ``[site, state]``, in nats; minus
            infinity forbids a label. None: nothing.

    Attributes:
        beta: ``[m]``.
        log_likelihood: ``[site, state]``, or None.

    Raises:
        ModelError: If shapes do not agree, a number is not finite or a site has no label.

    References:
        Potts 1952; Swendsen & Wang 1987, "Nonuniversal critical dynamics in Monte Carlo
        simulations", PRL 58; Geman & Geman 1984, IEEE PAMI 6 (images).

    Example:
        ```python
        from tfbdl.inference import Potts

        field = Potts(Potts.grid((8, 8)), num_sites=64, num_states=3, beta=0.9)
        fit = tfbdl.fit(field, None, engine="swendsen_wang", seed=1)
        fit.posterior.draws["z"]  # [chain, draw, site]
        ```
    """

    stat_names: ClassVar[tuple[str, ...]] = ("lp", "equal_edges", "largest_share")

    def __init__(
        self,
        edges: Any,
        num_sites: int,
        num_states: int,
        beta: Any,
        log_likelihood: Any = None,
    ) -> None:
        super().__init__(edges, num_sites, beta)
        if not isinstance(num_states, (int, np.integer)) or num_states < 1:
            raise ModelError(
                f"num_states is a whole number of at least one. Received: {num_states!r}."
            )
        self.num_states = int(num_states)
        self.log_likelihood = None
        if log_likelihood is not None:
            shape = (self.num_sites, self.num_states)
            self.log_likelihood = _log_likelihood(log_likelihood, shape)

    def log_prob(self, z: Any) -> np.ndarray:
        """The log density up to its normaliser, of labels ``[..., site]``, in nats: ``[...]``.

        Raises:
            DataError: If these are no labels of this field.
        """
        labels = self.checked(z)
        return self._log_prob(labels, self._equal(labels))

    def marginals(self, z: Any) -> np.ndarray:
        """How often each site has each label among draws ``[..., site]``: ``[site, state]``."""
        flat = self.checked(z).reshape(-1, self.num_sites)
        counts = [(flat == state).mean(axis=0) for state in range(self.num_states)]
        return np.stack(counts, axis=1)

    def statistics(self, z: np.ndarray) -> dict[str, np.ndarray]:
        """``lp``, ``equal_edges``, and the share of the sites that the commonest label has."""
        equal = self._equal(z)
        counts = [np.count_nonzero(z == state, axis=-1) for state in range(self.num_states)]
        return {
            "lp": self._log_prob(z, equal),
            "equal_edges": np.count_nonzero(equal, axis=-1),
            "largest_share": np.max(counts, axis=0) / self.num_sites,
        }

    def _log_prob(self, z: np.ndarray, equal: np.ndarray) -> np.ndarray:
        lp = equal @ self.beta
        if self.log_likelihood is not None:
            lp += self.log_likelihood[np.arange(self.num_sites), z].sum(axis=-1)
        return lp

    def initial(self, chains: int, rng: np.random.Generator) -> np.ndarray:
        """Labels ``[chain, site]``, drawn as if no site had neighbours."""
        if self.log_likelihood is None:
            return rng.integers(self.num_states, size=(chains, self.num_sites))
        logits = np.broadcast_to(self.log_likelihood, (chains, *self.log_likelihood.shape))
        return categorical(logits, rng.random(logits.shape[:-1]))

    def get_state(self) -> Mapping[str, np.ndarray]:
        """The arguments as arrays."""
        state = {
            "edges": self.edges,
            "num_sites": np.asarray(self.num_sites),
            "num_states": np.asarray(self.num_states),
            "beta": self.beta,
        }
        if self.log_likelihood is not None:
            state["log_likelihood"] = self.log_likelihood
        return state


def _log_likelihood(given: Any, shape: tuple[int, int]) -> np.ndarray:
    try:
        values = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise ModelError(
            f"log_likelihood is [site, state], numbers. Received: {type(given).__name__}."
        ) from None
    if values.shape != shape:
        raise ModelError(
            f"log_likelihood is [site, state], here {list(shape)}. Received: {list(values.shape)}."
        )
    if np.isnan(values).any() or np.isposinf(values).any():
        raise ModelError(
            "A log likelihood is a number, or minus infinity. Received: "
            f"{values[np.isnan(values) | np.isposinf(values)][0]}."
        )
    barred = np.isneginf(values).all(axis=1)
    if barred.any():
        raise ModelError(f"No label is possible at site {int(np.argmax(barred))}.")
    return values
