"""Fields made of an image: what its labels look like, and where they lie."""

from __future__ import annotations

import abc
from typing import Any

import numpy as np
from scipy.stats import multivariate_normal

from tfbdl import Capability, Posterior
from tfbdl.data import Dataset
from tfbdl.errors import ModelError
from tfbdl.inference import DirichletPotts, Potts
from tfbdl.parametric import ParametricModel

from .images import clusters, features_of, principal_axes


class GridModel(ParametricModel, abc.ABC):
    """What both fields share: they are made of data, and keep the draws of a fit.

    Attributes:
        draws: Of the labels, or None before a fit.
    """

    capabilities = frozenset({Capability.POTTS})
    draws: Posterior | None = None

    @abc.abstractmethod
    def field(self, data: Dataset | None) -> Any:
        """The field that the options and the data make; what is fitted of it is kept.

        Raises:
            DataError: If the data are no grid of features.
        """

    @abc.abstractmethod
    def labels(self) -> np.ndarray:
        """One label for each site, in the shape of the grid."""

    def adopt(self, posterior: Posterior | None) -> None:
        """Take the draws that ``labels`` goes by."""
        self.draws = posterior

    def _drawn(self) -> Posterior:
        if self.draws is None:
            self.fitted()
            raise ModelError(f"This {type(self).__name__} has no draws.")
        return self.draws


class PottsImage(GridModel):
    """A Potts field over normal features, one distribution for each label.

    The normals are those of clusters by k-means, and their shares of the sites weigh as a mixture's
    weights do: with ``beta = 0`` the labels are those of this mixture. They are held while labels
    are drawn. Fitted are ``weights_ [k]``, ``means_ [k, d]``, ``covariances_ [k, d, d]`` and
    ``shape_``, the grid's.
    """

    def field(self, data: Dataset | None) -> Potts:
        """The Potts model of these features.

        Raises:
            DataError: If the data are no grid, or have too few different sites.
        """
        x, shape = features_of(data, self.options.shape)
        k = self.options.num_states
        of = clusters(x, k, self.seed)
        floor = self.options.variance_floor * np.where(np.ptp(x, axis=0) > 0, x.var(axis=0), 1.0)
        groups = [x[of == c] for c in range(k)]
        weights = np.array([len(rows) / len(x) for rows in groups])
        means = np.stack([rows.mean(axis=0) for rows in groups])
        covariances = np.stack(
            [np.atleast_2d(np.cov(rows, rowvar=False, bias=True)) + np.diag(floor)
             for rows in groups]
        )  # fmt: skip
        self.assign(
            {"weights": weights, "means": means, "covariances": covariances, "shape": shape}
        )
        edges = Potts.grid(shape, periodic=self.options.periodic)
        return Potts(edges, len(x), k, self.options.beta, self.log_likelihood(x))

    def log_likelihood(self, x: Any) -> np.ndarray:
        """What each label adds at features ``[n, d]``, in nats: ``[n, state]``.

        Raises:
            ModelError: Before a fit.
        """
        self.fitted()
        parts = zip(self.weights_, self.means_, self.covariances_, strict=True)
        columns = [np.log(w) + multivariate_normal(m, S).logpdf(x) for w, m, S in parts]
        return np.stack([np.reshape(column, [-1]) for column in columns], axis=1)

    def marginals(self) -> np.ndarray:
        """The probability of each label at each site, ``[*shape, state]``.

        Raises:
            ModelError: Before a fit.
        """
        z = self._drawn().draws["z"].reshape(-1, int(np.prod(self.shape_)))
        counts = [(z == state).mean(axis=0) for state in range(len(self.means_))]
        return np.stack(counts, axis=-1).reshape(*self.shape_, -1)

    def labels(self) -> np.ndarray:
        """The most probable label of each site, ``[*shape]``."""
        return self.marginals().argmax(axis=-1)


class DirichletPottsImage(GridModel):
    """A Potts field with a Dirichlet process: the number of labels is unknown.

    Fitted are ``shape_``, the grid's, and ``rotation_ [d, d]`` to the axes on which a segment's
    features are taken to be independent.
    """

    def field(self, data: Dataset | None) -> DirichletPotts:
        """The field of these features.

        Raises:
            DataError: If the data are no grid of features.
        """
        x, shape = features_of(data, self.options.shape)
        d = x.shape[1]
        rotation = principal_axes(x) if self.options.decorrelate and len(x) > 1 else np.eye(d)
        self.assign({"shape": shape, "rotation": rotation})
        turned = x @ rotation
        spread = np.where(np.ptp(turned, axis=0) > 0, turned.var(axis=0), 1.0)
        return DirichletPotts(
            DirichletPotts.grid(shape, periodic=self.options.periodic),
            turned,
            self.options.beta,
            self.options.concentration,
            kappa0=self.options.kappa0,
            a0=self.options.a0,
            b0=self.options.b0_share * spread,
        )

    def labels(self) -> np.ndarray:
        """The labels of the draw with the largest log density, ``[*shape]``.

        Raises:
            ModelError: Before a fit.
        """
        drawn = self._drawn()
        lp = drawn.sample_stats["lp"]
        return drawn.draws["z"][np.unravel_index(lp.argmax(), lp.shape)].reshape(self.shape_)
