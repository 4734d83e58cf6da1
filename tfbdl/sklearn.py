"""Models of tfbdl as scikit-learn estimators, for pipelines, searches and cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .api import fit as fit_model
from .errors import DataError

__all__ = ["BayesianClassifier", "BayesianRegressor"]

Options = Mapping[str, Any] | None


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both estimators share: the arguments of ``tfbdl.fit``, kept as they were given."""

    def __init__(
        self,
        model: str = "bbb",
        *,
        engine: str | None = None,
        prior: Any = None,
        model_options: Options = None,
        engine_options: Options = None,
        prior_options: Options = None,
        draws: int = 100,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.engine = engine
        self.prior = prior
        self.model_options = model_options
        self.engine_options = engine_options
        self.prior_options = prior_options
        self.draws = draws
        self.seed = seed

    def _fit(self, x: np.ndarray, y: np.ndarray) -> None:
        self.fit_ = fit_model(
            self.model,
            (x, y),
            engine=self.engine,
            prior=self.prior,
            model_options=self.model_options,
            engine_options=self.engine_options,
            prior_options=self.prior_options,
            seed=self.seed,
        )

    def _predictive(self, X: Any) -> Any:
        check_is_fitted(self, "fit_")
        x = validate_data(self, X, reset=False, dtype=np.float64)
        return self.fit_.predict(x, draws=self.draws, seed=self.seed)


class BayesianRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A Bayesian model of numbers, with a standard deviation for each prediction.

    Args:
        model: A registered name, or an object that ``tfbdl.fit`` takes.
        engine: A registered name; by default the model's own.
        prior: A registered name or a Prior; by default the model's own.
        model_options: Of a model given by name.
        engine_options: Of the engine.
        prior_options: Of a prior given by name.
        draws: Of the posterior, over which predictions are averaged.
        seed: Decides every random number of fit and prediction.

    Attributes:
        fit_: The Fit: posterior, history, metrics.
        n_features_in_: Columns of X.

    Example:
        ```python
        regressor = BayesianRegressor(engine_options={"epochs": 100})
        mean, std = regressor.fit(x, y).predict(x_test, return_std=True)
        ```
    """

    def fit(self, X: Any, y: Any) -> BayesianRegressor:
        """Fit the model.

        Args:
            X: ``[n, d]``.
            y: ``[n]`` or ``[n, outputs]``.

        Raises:
            ValueError: If X and y do not fit together, or hold NaN.
            TfbdlError: As ``tfbdl.fit`` does.
        """
        x, y = validate_data(self, X, y, dtype=np.float64, multi_output=True, y_numeric=True)
        self._shape = y.shape[1:]
        self._fit(x, y.astype(np.float64))
        return self

    def predict(
        self, X: Any, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The predictive mean and, if asked for, standard deviation (noise included).

        Args:
            X: ``[m, d]``.
            return_std: Whether to return both.

        Returns:
            ``[m]`` or ``[m, outputs]`` like y; with ``return_std`` a pair of such.
        """
        predictive = self._predictive(X)
        shape = (-1, *self._shape)
        mean: np.ndarray = predictive.mean.reshape(shape)
        return (mean, predictive.stddev.reshape(shape)) if return_std else mean

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class BayesianClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A Bayesian model of classes, with probabilities averaged over the posterior.

    Args:
        model, engine, prior, model_options, engine_options, prior_options, draws, seed: As in
            BayesianRegressor.

    Attributes:
        classes_: The labels, sorted.
        fit_: The Fit: posterior, history, metrics.
        n_features_in_: Columns of X.
    """

    def fit(self, X: Any, y: Any) -> BayesianClassifier:
        """Fit the model.

        Args:
            X: ``[n, d]``.
            y: ``[n]`` labels, of any type that sorts.

        Raises:
            ValueError: If X and y do not fit together, or hold NaN.
            DataError: If y has one class only.
            TfbdlError: As ``tfbdl.fit`` does.
        """
        x, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"Classification needs two classes at least. Received: one class, "
                f"{self.classes_[0]!r}."
            )
        self._fit(x, labels.astype(np.int32))
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predictive probabilities ``[m, classes]``, in the order of ``classes_``."""
        probs: np.ndarray = self._predictive(X).class_probs.astype(np.float64)
        probs = probs.reshape(len(probs), -1)  # one logit for all rows: [m, 1, 2]
        probs /= probs.sum(axis=1, keepdims=True)  # float32 sums to one within 1e-7 only
        return probs

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row: ``[m]``."""
        chosen = self.predict_proba(X).argmax(axis=1)
        labels: np.ndarray = self.classes_[chosen]
        return labels
