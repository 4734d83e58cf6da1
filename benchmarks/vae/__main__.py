"""Variational auto-encoders: MNIST with several bounds, priors and posteriors; a step's time.

``make bench NAME=vae`` needs MNIST (``$TFBDL_DATA/mnist.npz``, or Keras' download) and makes an
environment with PyTorch for the comparison of speed.

- ``mnist``: 784-500-20-500-784, dynamic binarisation, ten epochs; the bound on a fixed binarised
  test set, and the importance-weighted one with 1,000 draws on its first 1,000 images.
- ``priors``, ``posteriors``, ``bounds``, ``grey``: the same net with one thing changed.
- ``speed``: a training step beside a plain Keras auto-encoder and the same VAE in PyTorch.
"""

from __future__ import annotations

from functools import partial

from benchmarks import parts
from benchmarks.vae import mnist, speed


def main() -> None:
    """Run the parts."""
    variants = {
        "priors": mnist.PRIORS,
        "posteriors": mnist.POSTERIORS,
        "bounds": mnist.BOUNDS,
        "grey": mnist.GREY,
    }
    tables = {part: partial(mnist.table, changed) for part, changed in variants.items()}
    every = {"mnist": mnist.plain, **tables, "speed": speed.run}
    parts.run("vae", __doc__, every, beside_peer={"speed"})


if __name__ == "__main__":
    main()
