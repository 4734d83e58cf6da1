"""Mixtures and latent linear models: the measured figures in ``plugins/tfbdl_mixture/README.md``.

``python -m benchmarks.mixture`` prints its tables and writes ``benchmarks/results/mixture.json``;
``--only PART`` runs one part. ``mnist`` needs MNIST (``$TFBDL_DATA/mnist.npz``, or Keras'
download).
"""

from __future__ import annotations

from benchmarks import parts

from .imputation import drawn, imputation
from .latent import kmeans, ppca
from .normals import iris, mnist
from .wine import sweep, wine

PARTS = {
    "iris": iris,
    "mnist": mnist,
    "kmeans": kmeans,
    "ppca": ppca,
    "imputation": imputation,
    "drawn": drawn,
    "wine": wine,
    "sweep": sweep,
}

if __name__ == "__main__":
    parts.run("mixture", __doc__, PARTS)
