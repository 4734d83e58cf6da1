"""BayesianNetwork: any Keras net with a posterior over its weights."""

from .. import _backend  # noqa: F401 - the gate: Keras must run on TensorFlow
from .model import BayesianNetwork, bayesianize

__all__ = ["BayesianNetwork", "bayesianize"]
