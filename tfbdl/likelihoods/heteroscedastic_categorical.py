"""Class labels whose logits are themselves noisy, by an amount that the net predicts."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import tensorflow as tf

from .. import random
from ..errors import OptionsError
from .base import Tensor, as_outputs
from .categorical import Categorical, at_least_two
from .heteroscedastic_gaussian import half, halves


class HeteroscedasticCategorical(Categorical):
    """``P(y = c) = 1/T sum_t softmax(f + sigma * e_t)_c`` with ``e_t ~ N(0, 1)``.

    The net gives ``C`` mean logits ``f``, then ``C`` raw scales; ``sigma = softplus(raw)``. The
    log likelihood is ``log 1/T sum_t exp(xhat_tc - logsumexp_c' xhat_tc')``; a loss takes it with
    a minus.

    Without a key the noise is that of a fixed one and shared by all data: a prediction is then a
    function of its input, whatever batch it is part of. With a key each datum has noise of its
    own, which is what training wants.

    Args:
        num_samples: ``T``, at least 1. Memory grows with it.

    Shapes:
        outputs: ``[n, ..., 2 * classes]``; all else as for Categorical.

    Raises:
        OptionsError: If ``num_samples`` is not admitted.

    References:
        Kendall & Gal 2017, "What uncertainties do we need in Bayesian deep learning for computer
        vision?", eq. 12.
    """

    name: ClassVar[str] = "heteroscedastic_categorical"

    def __init__(self, num_samples: int = 32) -> None:
        if not isinstance(num_samples, int) or isinstance(num_samples, bool) or num_samples < 1:
            raise OptionsError(
                f"'num_samples' must be an integer of at least 1. Received: {num_samples!r}."
            )
        self.num_samples = num_samples

    def outputs_for(self, size: int) -> int:
        """See Likelihood."""
        return 2 * size

    def size_for(self, num_outputs: int) -> int:
        """See Likelihood."""
        return half(self.name, num_outputs)

    def get_config(self) -> dict[str, Any]:
        """See Likelihood."""
        return {"num_samples": self.num_samples}

    def _logits(self, outputs: Tensor, key: Any) -> Tensor:
        logits, raw = halves(self.name, as_outputs(outputs))
        at_least_two(self.name, logits)
        sizes = tf.shape(logits)
        shape = [sizes[i] if dim is None else dim for i, dim in enumerate(logits.shape)]
        if key is None:
            shape[0], key = 1, random.key(0, self.name)
        noise = random.normal(shape, random.split(key, self.num_samples), logits.dtype)
        xhat = logits + tf.math.softplus(raw) * noise  # [T, n, ..., C]
        log_p = tf.nn.log_softmax(xhat)
        return tf.reduce_logsumexp(log_p, axis=0) - math.log(self.num_samples)  # eq. 12
