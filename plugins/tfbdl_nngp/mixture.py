"""The average of predictive distributions over draws of hyperparameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl.closed_form import ClosedFormPredictive

tfd = tfp.distributions


def mixture_predictive(model: Any, parts: Sequence[ClosedFormPredictive]) -> ClosedFormPredictive:
    """Their equal mixture; the mean of the noises is aleatoric, all else epistemic.

    Args:
        model: What predicts.
        parts: Of the same inputs, one for each draw: normals, or probabilities of classes.
    """
    if model.likelihood.is_classification:
        probs = np.mean([np.asarray(part.distribution) for part in parts], axis=0)
        entropy = np.mean([part.expected_entropy for part in parts], axis=0)
        return ClosedFormPredictive(model, probs, entropy)
    loc = np.stack([part.distribution.loc for part in parts], axis=-1)
    scale = np.stack([part.distribution.scale for part in parts], axis=-1)
    mixture = tfd.MixtureSameFamily(
        tfd.Categorical(logits=tf.zeros(len(parts), tf.float64)), tfd.Normal(loc, scale)
    )
    return ClosedFormPredictive(model, mixture, np.mean([p.aleatoric for p in parts], axis=0))
