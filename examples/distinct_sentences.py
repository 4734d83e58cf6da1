"""Distinct sentences of a language model, without replacement: stochastic beam search.

A small Keras model learns sentences of scikit-learn's descriptions of data sets. Then the same
number of sentences is drawn with and without replacement, and both estimate the model's entropy.

python examples/distinct_sentences.py
"""

from __future__ import annotations

import re
from collections import Counter
from importlib import resources
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.inference.reparameterizations import horvitz_thompson, stochastic_beam_search

END, RARE, LONGEST = 0, 1, 12
NAMES = {END: ".", RARE: "_"}


def sentences() -> list[list[str]]:
    """Words of sentences of two to eleven words, from the prose of the descriptions."""
    folder = resources.files("sklearn.datasets.descr")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".rst")), key=lambda f: f.name)
    found = []
    for text in (file.read_text(encoding="utf-8") for file in files):
        prose = re.sub(r"\.\. [a-z-]+::.*|``[^`]*``|[=_*|~^-]{2,}|:[A-Za-z ]+:", " ", text)
        for part in re.split(r"[.;:?!,()]|\n\s*\n", prose):
            words = re.findall(r"[A-Za-z]+", part.lower())
            if 2 <= len(words) < LONGEST:
                found.append(words)
    return found


class LanguageModel:
    """A GRU that says what word comes next."""

    def __init__(self, words: int, units: int, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        self.embedding = keras.layers.Embedding(words, units)
        self.cell = keras.layers.GRUCell(units)
        self.readout = keras.layers.Dense(words)
        recurrent = keras.layers.RNN(self.cell, return_sequences=True)
        inputs = keras.Input((None,), dtype="int32")
        outputs = self.readout(recurrent(self.embedding(inputs)))
        self.net = keras.Model(inputs, outputs)

    def fit(self, rows: np.ndarray, epochs: int) -> float:
        """Train on rows of words that end in END; nats by word."""
        before = np.pad(rows, [(0, 0), (1, 0)])[:, :-1]
        ended = np.cumsum(rows == END, axis=1)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.net.compile(keras.optimizers.Adam(5e-3), loss)
        weights = (ended - (rows == END) == 0).astype("float32")  # up to the first END
        history = self.net.fit(
            before, rows, sample_weight=weights, batch_size=32, epochs=epochs, verbose=0
        )
        return float(history.history["loss"][-1] * weights.size / weights.sum())

    def step(self, state: Any, words: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """Logits of the next words, and the new state."""
        outputs, state = self.cell(self.embedding(words), state)
        return self.readout(outputs), state

    def draw(self, batch: int, k: int, seed: int) -> Any:
        """For each of a batch, k sentences without replacement."""
        start = [tf.zeros([batch, self.cell.units])]
        first = tf.fill([batch], END)

        @tf.function(autograph=False)
        def search() -> Any:
            key = random.key(seed)
            return stochastic_beam_search(self.step, start, first, k, LONGEST, key, end=END)

        return search()


def main(epochs: int = 40, k: int = 50, repeats: int = 40) -> dict[str, float]:
    """Learn, draw and compare."""
    texts = sentences()
    counts = Counter(word for words in texts for word in words)
    names = [word for word in sorted(counts) if counts[word] > 1]
    codes = {word: code for code, word in enumerate(names, start=2)}
    rows = np.full((len(texts), LONGEST), END, np.int32)
    for row, words in zip(rows, texts, strict=True):
        row[: len(words)] = [codes.get(word, RARE) for word in words]
    model = LanguageModel(len(names) + 2, 96, seed=0)
    nats = model.fit(rows, epochs)
    print(f"{len(texts)} sentences, {len(names)} words, {nats:.2f} nats a word in training")

    found = model.draw(repeats, k, seed=1)
    for tokens, log_prob in list(zip(found.tokens[0].numpy(), found.log_probs[0], strict=True))[:8]:
        words = [NAMES.get(int(t)) or names[t - 2] for t in tokens if t >= 0]
        print(f"{float(log_prob):8.2f}  {' '.join(words)}")
    distinct = min(len({tuple(row) for row in draws}) for draws in found.tokens.numpy())

    without = horvitz_thompson(
        -found.log_probs, found.log_probs, found.threshold, normalised=True
    ).numpy()
    plain = model.draw(repeats * k, 1, seed=2)  # the first of each search is a draw of the model
    replaced = -plain.log_probs.numpy()[:, 0].reshape(repeats, k)
    again = float(np.mean([len({tuple(r) for r in d}) for d in _by(plain.tokens, repeats)]))
    shown = {
        "sentences": float(k),
        "distinct": float(distinct),
        "distinct_with_replacement": again,
        "entropy": float(without.mean()),
        "entropy_error": float(without.std(ddof=1)),
        "entropy_with_replacement": float(replaced.mean()),
        "entropy_error_with_replacement": float(replaced.mean(axis=1).std(ddof=1)),
    }
    print(f"Of {k} sentences {distinct} are distinct; of as many with replacement {again:.1f}.")
    print(
        f"Entropy {shown['entropy']:.2f} nats, +-{shown['entropy_error']:.2f} by one search; "
        f"{shown['entropy_with_replacement']:.2f} +-"
        f"{shown['entropy_error_with_replacement']:.2f} with replacement."
    )
    return shown


def _by(tokens: tf.Tensor, repeats: int) -> np.ndarray:
    return tokens.numpy().reshape(repeats, -1, LONGEST)


if __name__ == "__main__":
    main()
