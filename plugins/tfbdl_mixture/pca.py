"""PCA: the axes along which rows vary most."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from tfbdl import Capability
from tfbdl.data import Dataset
from tfbdl.errors import OptionsError

from .latent_config import PCAOptions
from .scatter import Scatter
from .scatter_model import ScatterModel, not_varying
from .table import query_table


class PCA(ScatterModel):
    """Principal component analysis, by the eigenvectors of the covariance with divisor N.

    ``S = 1/N sum (x_n - mean)(x_n - mean)'``; the axes maximise ``u' S u`` one after the other. The
    entry of largest size of each axis is positive.

    After a fit: ``components_`` ``[k, d]``, ``explained_variance_`` ``[k]`` (divisor N, where
    scikit-learn's is N - 1), ``explained_share_`` ``[k]``, ``mean_`` ``[d]``.

    References:
        Bishop 2006, section 12.1, eq. 12.3 to 12.5.
    """

    options_class: ClassVar[Any] = PCAOptions
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.EXACT})
    default_engine: ClassVar[str] = "exact"

    def condition(self, data: Dataset) -> None:
        """Fit to the rows seen so far and these, if they do for a fit.

        Raises:
            DataError: If the rows are no table of finite numbers.
            OptionsError: If more axes are asked for than there are columns.
        """
        scatter = self.take_in(data)
        self._check_size(len(scatter.mean))
        if self.shortcoming(scatter):
            return
        variances = scatter.variances
        number = self._number(variances)
        total = variances.sum()
        self.assign(
            {
                "components": scatter.axes[:number].astype(self.dtype),
                "explained_variance": variances[:number].astype(self.dtype),
                "explained_share": (variances[:number] / total).astype(self.dtype),
                "mean": scatter.mean.astype(self.dtype),
            }
        )

    def transform(self, x: Any) -> np.ndarray:
        """The coordinates of rows ``[n, d]`` along the axes, ``[n, k]``.

        Raises:
            DataError: If x has other columns than in training, or values that are not finite.
        """
        fitted = self.fitted()
        rows = query_table(x, len(fitted["mean"]), self.dtype)
        return np.asarray((rows - fitted["mean"]) @ fitted["components"].T)

    def inverse_transform(self, z: Any) -> np.ndarray:
        """The rows ``[n, d]`` in the space of the axes that have the coordinates ``[n, k]``.

        Raises:
            DataError: If z has not one column for each axis, or values that are not finite.
        """
        fitted = self.fitted()
        codes = query_table(z, len(fitted["components"]), self.dtype)
        return np.asarray(codes @ fitted["components"] + fitted["mean"])

    def figures(self) -> dict[str, float]:
        """The number of axes kept, and the share of the variance that they explain."""
        if not self.params:
            return {}
        fitted = self.params
        return {
            "num_components": float(len(fitted["components"])),
            "explained_share": float(fitted["explained_share"].sum()),
        }

    def shortcoming(self, scatter: Scatter) -> str:
        """What these rows lack for a fit; empty if nothing."""
        wanted = self.options.latent_dim or 1
        if constant := not_varying(scatter.constant_columns, len(scatter.mean), scatter.num_rows):
            return constant
        if wanted > scatter.num_rows:
            return f"{wanted} axes need at least {wanted} rows. Received: {scatter.num_rows}."
        return ""

    def _check_size(self, num_columns: int) -> None:
        wanted, share = self.options.latent_dim, self.options.explained_share
        if wanted is not None and share is not None:
            raise OptionsError(
                "latent_dim and explained_share both say how many axes to keep. Expected one of "
                f"them. Received: {wanted} and {share:g}."
            )
        if wanted is not None and wanted > num_columns:
            raise OptionsError(
                f"latent_dim must be at most {num_columns}, the number of columns. "
                f"Received: {wanted}."
            )

    def _number(self, variances: np.ndarray) -> int:
        """How many axes to keep."""
        wanted, share = self.options.latent_dim, self.options.explained_share
        if share is None:
            return int(wanted or len(variances))
        explained = np.cumsum(variances) / variances.sum()
        # The sum of all shares may fall short of 1 by rounding.
        return int(min((explained < share * (1.0 - 1e-12)).sum() + 1, len(variances)))
