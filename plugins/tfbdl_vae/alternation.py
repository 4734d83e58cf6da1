"""What variational EM asks of a VAE: which weights belong to q, and which to the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from tfbdl.specs import Capability

from .objective import VariationalBound


class Alternation(VariationalBound):
    """The E-step trains the encoder, the M-step the decoder and all else (engine ``em``).

    Of a learned prior that is made of q itself, such as a VampPrior, what it learns beside the
    encoder is of the M-step; in the E-step it moves with the encoder.

    References:
        Neal & Hinton 1998, "A view of the EM algorithm that justifies incremental, sparse, and
        other variants".
    """

    capabilities = frozenset({Capability.TRAINABLE, Capability.EM})

    def phases(self) -> Mapping[str, Sequence[keras.Variable]]:
        """``e``: the weights of q(z | x); ``m``: those of p(x | z) and p(z)."""
        of_q = (*self.encoder.trainable_variables, *self.latent_posterior.trainable_variables)
        own = {id(variable) for variable in of_q}
        return {"e": of_q, "m": [v for v in self.trainable_variables if id(v) not in own]}
