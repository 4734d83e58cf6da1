"""What a training step and a prediction of a mean-field net cost, beside what people take instead.

``make bench NAME=step_cost`` runs all parts; ``ARGS="--only PART"`` one.

- ``batch_128``, ``batch_1024``: ``fit`` beside plain Keras, and the cost taken apart.
- ``layers``: ``fit`` of a BayesianNetwork and of a net of ``tfbdl.layers`` beside ``tfp.layers`` on
  Keras 2 and beside bayesian-torch.
- ``prediction``: draws of the weights over 10,000 inputs beside as many passes of the plain net.
"""

from __future__ import annotations

import functools

from benchmarks import parts

from . import layers, nets, prediction

PARTS = {
    "batch_128": functools.partial(nets.run, 128),
    "batch_1024": functools.partial(nets.run, 1024),
    "layers": layers.run,
    "prediction": prediction.run,
}

if __name__ == "__main__":
    parts.run("step_cost", __doc__, PARTS, beside_peer=("layers",))
