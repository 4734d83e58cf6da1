"""Models of tfbdl as scikit-learn estimators, for pipelines, searches and cross-validation."""

from .. import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .estimator import BayesianClassifier, BayesianRegressor, Estimator

__all__ = ["BayesianClassifier", "BayesianRegressor", "Estimator"]
