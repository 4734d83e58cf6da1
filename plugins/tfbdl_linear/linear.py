"""Bayesian linear regression in closed form, its precisions given or by evidence.

References:
    Bishop 2006, sections 3.3 to 3.5; MacKay 1992, Bayesian interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from tfbdl import Capability
from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.data import Dataset
from tfbdl.errors import OptionsError

from . import evidence, roots
from .config import LinearOptions
from .density import JointDensity, WeightPrior
from .solution import GammaPosterior, Solution


class Linear(JointDensity):
    """``t = w_0 + Phi(x) w + e``, ``w ~ N(m0, I / alpha)``, ``e ~ N(0, 1 / beta)``.

    Rows are kept as the triangular root of their products, so that the posterior given rows in
    turn is that given all at once. Fitted arrays: ``root_``, ``count_``, ``alpha_``, ``beta_``,
    ``weights_``, ``intercept_``.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.EXACT, Capability.LOG_JOINT}
    )
    default_engine: ClassVar[str] = "exact"
    options: LinearOptions

    def condition(self, data: Dataset) -> ClosedFormPosterior:
        """Take in rows; what was seen before counts as if it came with them.

        Raises:
            DataError: If the rows are none of a regression, or not like those before.
            OptionsError: If m0 or S0 do not fit the columns.
        """
        root, count = roots.extended(self.params, *self.columns_and_targets(data))
        self._learn(root, count)
        return self.posterior

    @property
    def posterior(self) -> ClosedFormPosterior:
        """The posterior given all rows so far; its ``predictive(x)`` is exact.

        Raises:
            ModelError: If there were none.
        """
        self.fitted()
        return self._posterior

    def figures(self) -> Mapping[str, float]:
        """``log_evidence`` (nats), ``alpha``, ``beta`` and ``gamma`` (Bishop 2006, 3.86, 3.91)."""
        alpha, beta = float(self.fitted()["alpha"]), float(self.fitted()["beta"])
        data = self._spectrum
        if self._conjugate:
            own = self.options
            figures = {
                "log_evidence": evidence.conjugate_log_evidence(data, alpha, own.c0, own.d0),
                "gamma": evidence.effective_parameters(data, alpha, 1.0),
            }
            if self.options.intercept:  # integrated out
                figures["log_evidence"] -= 0.5 * data.targets * math.log(self._count)
        else:
            figures = {
                "log_evidence": evidence.log_evidence(data, alpha, beta),
                "gamma": evidence.effective_parameters(data, alpha, beta),
            }
        free = {} if self.options.S0 is not None else {"alpha": alpha}
        return figures | free | {"beta": beta}

    def notices(self) -> list[str]:
        """Of a search without an end, and of columns that do not vary."""
        found = [self._notice] if self._notice else []
        lengths = np.linalg.norm(self._parts.columns, axis=0)
        still = [str(i) for i in np.flatnonzero(lengths == 0.0)]
        if still and self._count > 1:
            what = "do not vary" if self.options.intercept else "are zero"
            listed = ", ".join(still[:10]) + (", ..." if len(still) > 10 else "")
            found.append(
                f"Columns {what} over the rows, so that their weights keep the prior: {listed}."
            )
        return found

    def weight_prior(self) -> WeightPrior:
        """The prior of the closed form.

        A precision that is sought by evidence there has the prior Gamma(1e-6, rate 1e-6) here, and
        the noise of ``noise_prior='gamma'`` its own.
        """
        own = self.options
        wide = (1e-6, 1e-6)
        alpha = 1.0 if own.S0 is not None else (own.alpha or wide)
        beta = (own.c0, own.d0) if self._conjugate else (own.beta or wide)
        return WeightPrior(self._m0, self._factor, alpha, beta, scaled=self._conjugate)

    def assign(self, params: Mapping[str, Any]) -> None:
        """Take these arrays for the fitted ones."""
        new = params.get("root") is not self.params.get("root")
        for name in ("_posterior", *(("_parts", "_spectrum", "_decomposition") if new else ())):
            self.__dict__.pop(name, None)
        super().assign(params)

    _notice = ""

    def _learn(self, root: np.ndarray, count: float) -> None:
        own = self.options
        known = {"root": root, "count": np.asarray(count)} | self.basis.state()
        self.assign(known)
        data = self._spectrum
        given = 1.0 if own.S0 is not None else own.alpha
        if not self._conjugate:
            found = evidence.largest_evidence(data, given, own.beta)
        elif given is None:
            found = evidence.largest_conjugate_evidence(data, own.c0, own.d0)
        else:
            rate = evidence.conjugate_rate(data, given, own.d0)
            found = evidence.Precisions(given, evidence.conjugate_shape(data, own.c0) / rate)
        self._notice = found.notice
        self.assign(known | {"alpha": np.asarray(found.alpha), "beta": np.asarray(found.beta)})
        solution = self._solve()
        learned = {"weights": solution.mean.reshape(-1, *self.target_shape)}
        if own.intercept:
            learned["intercept"] = solution.intercept.reshape(self.target_shape)
        self.assign(self.params | learned)

    def _solve(self) -> Solution:
        """``N(m_N, S_N)`` (Bishop 2006, 3.50 and 3.51) through the singular values."""
        alpha, beta = float(self.params["alpha"]), float(self.params["beta"])
        precision = 1.0 if self._conjugate else beta
        values, right = self._spectrum.values, self._decomposition
        curvature = alpha + precision * values**2
        gain = precision * values / curvature
        mean = right.T @ (gain[:, np.newaxis] * self._spectrum.projected)
        # S_N = (I - V' diag(...) V) / alpha, which needs no more columns than there are rows
        shrinkage = precision * values**2 / curvature
        covariance = (np.eye(len(self._m0)) - (right.T * shrinkage) @ right) / alpha
        if self._factor is not None:
            mean = self._factor @ mean
            covariance = self._factor @ covariance @ self._factor.T
        noise: float | GammaPosterior = beta
        if self._conjugate:
            rate = evidence.conjugate_rate(self._spectrum, alpha, self.options.d0)
            shape = evidence.conjugate_shape(self._spectrum, self.options.c0)
            noise = GammaPosterior(shape=shape, rate=rate)
        return Solution(
            model=self,
            mean=mean + self._m0[:, np.newaxis],
            covariance=0.5 * (covariance + covariance.T),
            column_means=self._parts.column_means,
            target_means=self._parts.target_means,
            count=self._count,
            beta=noise,
            scaled=self._conjugate,
        )

    @cached_property
    def _posterior(self) -> ClosedFormPosterior:
        return self._solve().posterior()

    @cached_property
    def _parts(self) -> roots.Centred:
        root = self.fitted()["root"]
        return roots.parts(root, self.basis.num_columns, self.options.intercept)

    @cached_property
    def _decomposition(self) -> np.ndarray:
        """V' of the (whitened) columns; with it the spectrum is made."""
        columns, targets = self._parts.columns, self._parts.targets
        shifted = targets - (columns @ self._m0)[:, np.newaxis]
        whitened = columns if self._factor is None else columns @ self._factor
        left, values, right = np.linalg.svd(whitened, full_matrices=False)
        floor = np.finfo(float).eps * max(whitened.shape) * values.max(initial=0.0)
        projected = left.T @ shifted
        if self._conjugate:  # the intercept is integrated out
            rows = self._count - float(self.options.intercept)
        else:
            rows = roots.counted(self._parts, self._count, self.options.intercept)
        self.__dict__["_spectrum"] = evidence.Spectrum(
            values=np.where(values > floor, values, 0.0),
            projected=projected,
            outside=float(((shifted - left @ projected) ** 2).sum()),
            rows=rows,
            columns=whitened.shape[1],
        )
        return right

    @property
    def _spectrum(self) -> evidence.Spectrum:
        self._decomposition  # noqa: B018 - computing it stores the spectrum
        return self.__dict__["_spectrum"]

    @property
    def _conjugate(self) -> bool:
        return self.options.noise_prior == "gamma"

    @property
    def _count(self) -> float:
        return float(self.params["count"])

    @cached_property
    def _m0(self) -> np.ndarray:
        """The prior mean ``[M]``."""
        size = self.basis.num_columns
        return np.zeros(size) if self.options.m0 is None else _shaped(
            "m0", self.options.m0, (size,)
        )  # fmt: skip

    @cached_property
    def _factor(self) -> np.ndarray | None:
        """L with ``L L' = S0``; None where the prior covariance is the identity."""
        if self.options.S0 is None:
            return None
        size = self.basis.num_columns
        covariance = _shaped("S0", self.options.S0, (size, size))
        try:
            if not np.allclose(covariance, covariance.T, rtol=1e-8, atol=0.0):
                raise np.linalg.LinAlgError
            return np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            raise OptionsError(
                "S0 must be a covariance: symmetric, with eigenvalues above 0. Received: "
                f"eigenvalues of its symmetric part from "
                f"{np.linalg.eigvalsh(0.5 * (covariance + covariance.T))[0]:.4g}."
            ) from None


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, np.float64)
    if array.shape != shape:
        raise OptionsError(
            f"{name} must have the shape {list(shape)}, as many as there are columns. "
            f"Received: {list(array.shape)}."
        )
    return array
