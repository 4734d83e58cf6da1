"""The estimators: any model of tfbdl for pipelines and searches of scikit-learn."""

from __future__ import annotations

from typing import Any

from .base import BaseBayesian, Options


class Estimator(BaseBayesian):
    """Any model of tfbdl as a scikit-learn estimator.

    Which verbs there are depends on the task: a regressor has ``predict``, a classifier
    ``predict_proba`` too; models without targets have ``score_samples`` where they have
    ``log_prob``, ``transform`` where they have ``transform``, ``encode`` or ``responsibilities``,
    and mixtures ``predict`` and ``predict_proba``. It can be pickled: its fit is stored as
    ``Fit.save`` stores it.

    Args:
        model: A registered name, or an object that ``tfbdl.fit`` takes.
        task: ``regression``, ``classification`` or ``clustering``; None: as the model says.
            scikit-learn asks before it shows the targets, so that a model of numbers and classes
            alike, such as ``bbb``, is a regressor unless this says otherwise.
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
        classes_: Of a classifier: the labels, sorted.
        labels_: Of a clusterer: the most probable component of each training row.

    Example:
        ```python
        estimator = Estimator("bbb", task="classification", engine_options={"epochs": 100})
        cross_val_score(make_pipeline(StandardScaler(), estimator), x, y)
        ```
    """

    def __init__(
        self,
        model: Any = "bbb",
        *,
        task: str | None = None,
        engine: str | None = None,
        prior: Any = None,
        model_options: Options = None,
        engine_options: Options = None,
        prior_options: Options = None,
        draws: int = 100,
        seed: int = 0,
    ) -> None:
        self.task = task
        super().__init__(
            model,
            engine=engine,
            prior=prior,
            model_options=model_options,
            engine_options=engine_options,
            prior_options=prior_options,
            draws=draws,
            seed=seed,
        )


class BayesianRegressor(BaseBayesian):
    """An Estimator of numbers, with a standard deviation for each prediction.

    Its arguments are those of Estimator without ``task``.

    Example:
        ```python
        regressor = BayesianRegressor(engine_options={"epochs": 100})
        mean, std = regressor.fit(x, y).predict(x_test, return_std=True)
        ```
    """

    task = "regression"


class BayesianClassifier(BaseBayesian):
    """An Estimator of classes, with probabilities averaged over the posterior.

    Its arguments are those of Estimator without ``task``.
    """

    task = "classification"
