"""HeadLikelihood: a head's law as the likelihood of a Bayesian network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import keras
import numpy as np

from ...errors import DataError, ModelError
from ...likelihoods.base import (
    Distribution,
    Likelihood,
    Tensor,
    as_outputs,
    as_targets,
    sum_events,
)
from .head import Head
from .head_loss import HeadLoss


@keras.saving.register_keras_serializable(package="tfbdl")
class HeadLikelihood(Likelihood):
    """The law that a head makes of the outputs; ``BayesianNetwork(net, likelihood=head)``.

    Correlated outputs or a mixture keep their joint density in ``log_prob``; means, quantiles and
    draws of a Predictive are those of each dimension by itself.

    Args:
        head: Of ``event_shape`` ``(d,)``, whose dimensions have laws of their own
            (``Head.marginals``).

    Raises:
        ModelError: If the head has another event shape, or no such laws.
    """

    name: ClassVar[str] = "head"

    def __init__(self, head: Head) -> None:
        self.head = require_flat(head)
        if type(head).marginals is Head.marginals:
            raise ModelError(
                f"A {type(head).__name__} has no laws of single elements, which the quantiles of "
                "a Predictive need, so it is no likelihood of a BayesianNetwork. Independent "
                "elements, MultivariateNormalTriL and mixtures of independent elements have them."
            )

    def outputs_for(self, size: int) -> int:
        """See Likelihood."""
        if size != self.size:
            raise DataError(
                f"The head {self.head.name!r} is of targets with {self.size} dimensions. "
                f"Received: {size}."
            )
        return self.num_outputs

    def size_for(self, num_outputs: int) -> int:
        """See Likelihood."""
        if num_outputs != self.num_outputs:
            raise DataError(
                f"The head {self.head.name!r} needs {self.num_outputs} outputs of the net. "
                f"Received: {num_outputs}."
            )
        return self.size

    @property
    def size(self) -> int:
        """Dimensions of a target."""
        return int(self.head.event_shape[0])

    @property
    def num_outputs(self) -> int:
        """Numbers that the head takes."""
        return int(self.head.num_params or 0)

    def get_config(self) -> dict[str, Any]:
        """See Likelihood; Keras makes it again."""
        head = self.head.loss.get_config()["head"]
        anonymous = {k: v for k, v in head["config"].items() if k != "name"}  # Keras numbers names
        return {"head": {**head, "config": anonymous}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The inverse of ``get_config``."""
        return cls(HeadLoss.from_config(config).head)

    def elementwise(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """See Likelihood."""
        return self.head.marginals(self._params(outputs, parameters))

    def log_prob(
        self,
        outputs: Tensor,
        y: Any,
        parameters: Mapping[str, Any] | None = None,
        key: Any = None,
    ) -> Tensor:
        """See Likelihood."""
        params = self._params(outputs, parameters)
        y = as_targets(y, params[..., : self.size])
        return sum_events(self.head.law(params).log_prob(y))

    def mean(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        return self.elementwise(outputs, parameters).mean()

    def variance(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        return self.elementwise(outputs, parameters).variance()

    def _params(self, outputs: Tensor, parameters: Mapping[str, Any] | None) -> Tensor:
        self._checked(parameters)
        outputs = as_outputs(outputs)
        self.head.check_width(outputs.shape)
        return outputs

    def _check_values(self, y: np.ndarray, size: int | None) -> None:
        super()._check_values(y, self.size)

    def __repr__(self) -> str:
        return f"HeadLikelihood({type(self.head).__name__}({self.size}))"


def require_flat(head: Any) -> Any:
    """The head, whose targets must be ``[n, d]``.

    Raises:
        ModelError: If they have another shape.
    """
    shape = getattr(head, "event_shape", None)
    if shape is None or len(shape) != 1:
        raise ModelError(
            f"The targets of a BayesianNetwork are [n, d], so its head needs event_shape=(d,), or "
            f"(1,) for one number a row. Received: {type(head).__name__} with event_shape {shape}."
        )
    return head
