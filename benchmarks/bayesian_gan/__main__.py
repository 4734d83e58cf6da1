"""Generative adversarial networks, plain and Bayesian.

``python -m benchmarks.bayesian_gan`` runs all parts, ``--only info_gan_mnist`` one; MNIST comes
from ``$TFBDL_DATA/mnist.npz`` or by Keras' download.

- ``synthetic``: ten clusters in a hundred dimensions, by ten generators and one, with and without
  SGHMC and its noise; ``BAYESIAN_GAN_SEEDS`` says how many seeds (default 3).
- ``cost``: an iteration of ten generators in one graph beside ten models, and of SGHMC beside Adam.
- ``mnist_semi_supervised``: MNIST with 100 labels; ``SEMI_SUPERVISED_SEEDS`` (default 3) and
  ``SEMI_SUPERVISED_STEPS`` (default 4800).
- ``latent_identity``, ``latent_process``, ``latent_net``: learned mixtures as the noise's prior.
- ``info_gan_mnist``: whether the code of an InfoGAN finds the digits. ``INFO_GAN_SECONDS`` is the
  processor time of each net (default 1200), ``INFO_GAN_SEEDS`` how many seeds (default 3).
"""

from __future__ import annotations

from benchmarks import parts
from benchmarks.bayesian_gan import (
    cost,
    info_gan_mnist,
    latent_mixture,
    mnist_semi_supervised,
    synthetic,
)

PARTS = {
    "synthetic": synthetic.run,
    "cost": cost.run,
    "mnist_semi_supervised": mnist_semi_supervised.run,
    "info_gan_mnist": info_gan_mnist.run,
    "latent_identity": latent_mixture.identity,
    "latent_process": latent_mixture.process,
    "latent_net": latent_mixture.net,
}

if __name__ == "__main__":
    parts.run("bayesian_gan", __doc__, PARTS)
