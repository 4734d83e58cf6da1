"""What the replicas that train at once tell one another."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def over_replicas(value: Any) -> Any:
    """The sum of a tensor, or of each of a nest of them, over the replicas that train at once.

    Its gradient is the sum of the replicas' gradients.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)
