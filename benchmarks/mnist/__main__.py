"""Bayes by Backprop on MNIST: the net of Blundell et al. 2015, and a convolutional one.

``make bench NAME=mnist`` needs MNIST (``$TFBDL_DATA/mnist.npz``, or Keras' download);
``ARGS="--only convolutional"`` runs one part. See ``dense`` and ``convolutional``.
"""

from __future__ import annotations

import functools

from benchmarks import parts

from . import convolutional, dense

if __name__ == "__main__":
    nets = {
        "dense": dense.run,
        "convolutional": convolutional.run,
        "convolutional_flipout": functools.partial(convolutional.run, "flipout"),
    }
    parts.run("mnist", __doc__, nets)
