"""What the estimators share: scikit-learn's verbs over ``tfbdl.fit`` and its Fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from ..api import fit as fit_model
from ..errors import DataError, OptionsError
from . import storage
from .tasks import SUPERVISED, admits_missing, check_task, is_binary, set_tags, task_of

Options = Mapping[str, Any] | None
ENCODERS = ("transform", "encode", "responsibilities")
"""What ``transform`` calls of the fitted model: the first of these that it has."""


def _offers(*names: str, tasks: tuple[str, ...], unfitted: tuple[str, ...]) -> Callable[..., bool]:
    """Whether a verb is there.

    Args:
        *names: The fitted model must have one of these, where it takes no targets.
        tasks: With targets, these have the verb always.
        unfitted: Without targets, these have it until the fitted model is known.
    """

    def offered(estimator: BaseBayesian) -> bool:
        task = task_of(estimator.model, estimator.task)
        if task in SUPERVISED:
            return task in tasks
        if not hasattr(estimator, "fit_"):
            return task in unfitted
        return any(hasattr(estimator.fit_.model, name) for name in names)

    return offered


class BaseBayesian(BaseEstimator):  # type: ignore[misc]
    """The arguments of ``tfbdl.fit``, kept as they were given, and the verbs of all tasks."""

    task: str | None

    def __init__(
        self,
        model: Any = "bbb",
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

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the model.

        Args:
            X: ``[n, d]``.
            y: Numbers ``[n]`` or ``[n, outputs]``, or labels ``[n]`` of any type that sorts;
                without meaning where the model takes no targets.

        Raises:
            ValueError: If X and y do not fit together, or hold NaN that the model does not admit.
            DataError: If labels are of one class only.
            OptionsError: If ``task`` is none.
            TfbdlError: As ``tfbdl.fit`` does.
        """
        check_task(self.task)
        task = task_of(self.model, self.task)
        x, target = self._checked(task, X, y)
        self.fit_ = fit_model(
            self.model,
            x if target is None else (x, target),
            engine=self.engine,
            prior=self.prior,
            model_options=self.model_options,
            engine_options=self.engine_options,
            prior_options=self.prior_options,
            seed=self.seed,
        )
        if task == "clustering":
            self.labels_ = self._responsibilities(x).argmax(axis=1)
        return self

    @available_if(_offers("responsibilities", tasks=SUPERVISED, unfitted=("clustering",)))
    def predict(self, X: Any, return_std: bool = False) -> Any:
        """What is expected at each row.

        Args:
            X: ``[m, d]``.
            return_std: Of a regressor: whether to return the standard deviation too.

        Returns:
            The predictive mean ``[m]`` or ``[m, outputs]``, like y, and with ``return_std`` its
            standard deviation, noise included; of a classifier the most probable label ``[m]``; of
            a mixture the most probable component ``[m]``.

        Raises:
            OptionsError: If ``return_std`` is asked for of what is no regressor.
        """
        task = task_of(self.model, self.task)
        if task == "regression":
            return self._numbers(X, return_std)
        if return_std:
            raise OptionsError(f"return_std is for regression. Received: a task of {task}.")
        chosen = self.predict_proba(X).argmax(axis=1)
        return self.classes_[chosen] if task == "classification" else chosen

    @available_if(_offers("responsibilities", tasks=("classification",), unfitted=("clustering",)))
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities, averaged over the posterior.

        Returns:
            ``[m, classes]`` in the order of ``classes_``; of a mixture the responsibilities of its
            components, ``[m, components]``.
        """
        if task_of(self.model, self.task) != "classification":
            return self._responsibilities(self._inputs(X))
        x = self._inputs(X)
        probs = self.fit_.predict(x, draws=self.draws, seed=self.seed).class_probs
        probs = np.asarray(probs, np.float64).reshape(len(x), -1)  # one logit: [m, 1, 2]
        return probs / probs.sum(axis=1, keepdims=True)  # float32 sums to one within 1e-7 only

    @available_if(_offers("log_prob", tasks=(), unfitted=("clustering", "unsupervised")))
    def score_samples(self, X: Any) -> np.ndarray:
        """``log p(x)`` of each row under the fitted model, in nats: ``[m]``."""
        x = self._inputs(X)
        return np.asarray(self.fit_.model.log_prob(x), np.float64)

    @available_if(_offers(*ENCODERS, tasks=(), unfitted=("clustering", "unsupervised")))
    def transform(self, X: Any) -> np.ndarray:
        """What stands for each row in the fitted model: features, latents or responsibilities.

        Returns:
            ``[m, features]``; the mean where the model's code of a row is a distribution.
        """
        x = self._inputs(X)
        encode = next(name for name in ENCODERS if hasattr(self.fit_.model, name))
        code = getattr(self.fit_.model, encode)(x)
        return np.asarray(code.mean() if hasattr(code, "batch_shape") else code)

    @available_if(_offers(*ENCODERS, tasks=(), unfitted=("clustering", "unsupervised")))
    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit the model, then transform the same rows."""
        return self.fit(X, y).transform(X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R² of a regressor, accuracy of a classifier, else the mean of ``score_samples``.

        Args:
            X: ``[m, d]``.
            y: The true targets.
            sample_weight: ``[m]``.
        """
        task = task_of(self.model, self.task)
        if task == "regression":
            return float(r2_score(y, self.predict(X), sample_weight=sample_weight))
        if task == "classification":
            return float(accuracy_score(y, self.predict(X), sample_weight=sample_weight))
        return float(np.average(self.score_samples(X), weights=sample_weight))

    def __sklearn_tags__(self) -> Any:
        task = task_of(self.model, self.task)
        return set_tags(super().__sklearn_tags__(), self.model, task)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "fit_" in state:
            state["fit_"] = storage.to_bytes(state["fit_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "fit_" in state:
            state = {**state, "fit_": storage.from_bytes(state["fit_"])}
        super().__setstate__(state)

    def _checked(self, task: str, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Clean inputs and targets, as scikit-learn wants them checked."""
        rules = {"dtype": np.float64, "ensure_all_finite": self._finite()}
        if task not in SUPERVISED:
            return validate_data(self, X, **rules), None
        if task == "regression":
            x, y = validate_data(self, X, y, multi_output=True, y_numeric=True, **rules)
            self._shape = y.shape[1:]
            return x, y.astype(np.float64)
        x, y = validate_data(self, X, y, **rules)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(
                f"Classification needs two classes at least. Received: one class, "
                f"{self.classes_[0]!r}."
            )
        if is_binary(self.model) and len(self.classes_) > 2:
            raise DataError(  # the first sentence in scikit-learn's own words
                "Only binary classification is supported. The type of the target is "
                f"{type_of_target(y)}. For more classes than two wrap the estimator in "
                f"sklearn.multiclass.OneVsRestClassifier. Received: {len(self.classes_)} classes."
            )
        return x, labels.astype(np.int32)

    def _finite(self) -> bool | str:
        return "allow-nan" if admits_missing(self.model) else True

    def _inputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "fit_")
        x: np.ndarray = validate_data(
            self, X, reset=False, dtype=np.float64, ensure_all_finite=self._finite()
        )
        return x

    def _numbers(self, X: Any, return_std: bool) -> Any:
        x = self._inputs(X)
        predictive = self.fit_.predict(x, draws=self.draws, seed=self.seed)
        shape = (-1, *self._shape)
        mean = predictive.mean.reshape(shape)
        return (mean, predictive.stddev.reshape(shape)) if return_std else mean

    def _responsibilities(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.fit_.model.responsibilities(x), np.float64)
