"""A training step through ``fit``: plain Keras auto-encoder, VAE, and the same VAE in PyTorch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tfbdl_vae import VAE

from benchmarks import harness, parts
from benchmarks.peer import Peer
from benchmarks.vae.mnist import LATENT_DIM, nets
from tfbdl.data import as_dataset
from tfbdl.testing import frozen_noise

BATCH, STEPS, ROUNDS = 128, 200, 11
KERAS, TORCH = "Keras auto-encoder", "PyTorch VAE"
TOGETHER = {"jit_compile": True, "steps_per_execution": 10}


def run(peer_python: str) -> dict[str, Any]:
    """Check that VAE and peer compute the same loss, then time all in turn."""
    rng = np.random.default_rng(0)
    x = (rng.random((BATCH * STEPS, 784)) < 0.15).astype("float32")
    encoder, decoder = nets()
    model = _compiled(VAE(encoder, decoder, LATENT_DIM, seed=0))
    with Peer(peer_python, Path(__file__).parent) as peer:
        theirs = _started(peer, [*encoder.get_weights(), *decoder.get_weights()], x)
        with frozen_noise():
            model(x[:BATCH], training=True)
            ours = float(model.compute_loss())
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
        contestants: dict[str, Callable[[], Any]] = {
            KERAS: _fitting(_auto_encoder(), x, x),
            "VAE": _fitting(model, as_dataset(x)),
            f"{KERAS}, XLA, 10 steps an execution": _fitting(_auto_encoder(**TOGETHER), x, x),
            "VAE, XLA, 10 steps an execution": _fitting(_vae(**TOGETHER), as_dataset(x)),
            "VAE, grey values binarised at each step": _fitting(_vae(), as_dataset(0.9 * x)),
            TORCH: lambda: peer.ask(do="epoch", batch=BATCH),
        }
        for contestant in contestants.values():
            contestant()  # trace
        seconds = harness.alternate(contestants, ROUNDS)
    return _table(seconds)


def _started(peer: Peer, weights: list[np.ndarray], x: np.ndarray) -> float:
    """Give the peer weights and rows; gives its loss of the first batch without noise."""
    arrays = {f"{i:02d}": array for i, array in enumerate(weights)}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "start.npz")
        np.savez(file, **arrays, x=x)
        loss: float = peer.ask(do="start", file=file, batch=BATCH)
    return loss


def _fitting(model: keras.Model, *data: Any) -> Callable[[], Any]:
    return lambda: model.fit(*data, batch_size=BATCH, verbose=0)


def _vae(**options: Any) -> VAE:
    return _compiled(VAE(*nets(), LATENT_DIM, seed=0), **options)


def _compiled(model: VAE, **options: Any) -> VAE:
    model.compile(keras.optimizers.Adam(1e-3), **options)
    return model


def _table(seconds: dict[str, list[float]]) -> dict[str, Any]:
    parts.header("step", "ms", "of the Keras auto-encoder", "of PyTorch")
    kept = {}
    for name, values in seconds.items():
        per_step = 1e3 * np.asarray(values) / STEPS
        ratios = [harness.ratio(values, seconds[other]) for other in (KERAS, TORCH)]
        shown = [f"{middle:.2f} [{low:.2f}, {high:.2f}]" for middle, low, high in ratios]
        parts.row(name, parts.spread(per_step, 2), *shown)
        kept[name] = {"ms": per_step.tolist(), "to_keras": ratios[0], "to_torch": ratios[1]}
    return kept


def _auto_encoder(**options: Any) -> keras.Model:
    """The nets of the VAE, with 20 units in the middle, on Keras' own loss."""
    model = keras.Sequential(nets(LATENT_DIM))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, **options)
    return model
