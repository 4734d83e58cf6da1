"""Texts as rows of symbols: of a file, of scikit-learn's descriptions, and from a Markov chain."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from tfbdl.data import Dataset, as_dataset
from tfbdl.errors import DataError

from .markov_chain import MarkovChain
from .rnn_config import DescriptionsOptions, MarkovTextOptions, TextOptions

OTHER = "\ufffd"
"""Stands for all characters that are no symbols of their own."""


def symbols_dataset(
    rows: Any, symbols: Sequence[str], x_test: Any = None, name: str = "text"
) -> Dataset:
    """Rows of symbols as data, whose description knows the names of the symbols.

    Args:
        rows: ``[n, T]``, whole numbers from 0.
        symbols: Name of each number.
        x_test: ``[m, T']``, or None.
        name: What to call the data.

    Returns:
        A Dataset with ``x [n, T, 1]`` and, in ``info.class_names``, the symbols.
    """
    test = None if x_test is None else np.asarray(x_test, np.float32)[..., np.newaxis]
    made = as_dataset(np.asarray(rows, np.float32)[..., np.newaxis], x_test=test, name=name)
    names = tuple(map(str, symbols))
    info = dataclasses.replace(made.info, num_classes=len(names), class_names=names)
    return dataclasses.replace(made, info=info)


def to_text(symbols: Any, names: Sequence[str]) -> str:
    """The text of symbols ``[T]`` by their names, such as those of ``fit.info.class_names``."""
    return "".join(names[int(symbol)] for symbol in np.ravel(symbols) if symbol >= 0)


def descriptions(options: DescriptionsOptions) -> Dataset:
    """The descriptions of data sets that ship with scikit-learn, as one text of characters.

    Of each description the last part is held out; the others follow each other in the order of
    their names. The text is that of the installed version (licence: BSD, 3 clauses).

    Shapes:
        x: ``[rows, T, 1]``, the training text cut into rows; x_test: ``[1, T', 1]``.
    """
    folder = resources.files("sklearn.datasets.descr")
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".rst")), key=lambda f: f.name)
    texts = [file.read_text(encoding="utf-8") for file in files]
    return _dataset(texts, options, None, "descriptions")


def text(options: TextOptions) -> Dataset:
    """The characters of a file.

    Shapes:
        x: ``[rows, T, 1]``, the first part of the text cut into rows; x_test: ``[1, T', 1]``.

    Raises:
        DataError: If the file cannot be read, or is too short to be cut.
    """
    path = Path(options.path).expanduser()
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a text in UTF-8: {error}") from None
    return _dataset([content], options, options.characters, path.stem)


def markov_text(options: MarkovTextOptions) -> Dataset:
    """Rows from a stationary Markov chain, whose entropy rate is known.

    ``MarkovChain.of(options)`` is the chain: its ``entropy_rate`` is the least expected nll of any
    model, and ``log_probs`` what the truth itself says of a row.

    Shapes:
        x: ``[rows, row_length, 1]``; x_test: ``[1, test_length, 1]``.
    """
    chain = MarkovChain.of(options)
    rows = chain.sample(options.rows, options.row_length, [options.text_seed, 0])
    held_out = None
    if options.test_length:
        held_out = chain.sample(1, options.test_length, [options.text_seed, 1])
    names = [f"s{number}" for number in range(options.num_symbols)]
    return symbols_dataset(rows, names, held_out, "markov_text")


def _dataset(
    texts: Sequence[str], options: DescriptionsOptions, characters: int | None, name: str
) -> Dataset:
    """Texts one after the other; the end of each is held out."""
    ends = [math.ceil(len(part) * (1.0 - options.test_fraction)) for part in texts]
    train = "".join(part[:end] for part, end in zip(texts, ends, strict=True))
    test = "".join(part[end:] for part, end in zip(texts, ends, strict=True))
    width = len(train) // options.rows
    if width < 2 or (options.test_fraction and len(test) < 2):
        raise DataError(
            f"A text of {len(train) + len(test)} characters is too short for {options.rows} rows "
            "and a test row of two characters each."
        )
    counts = Counter(train + test)
    names = sorted(counts)
    if characters is not None and characters < len(names):
        frequent = sorted(names, key=lambda character: (-counts[character], character))
        names = [*sorted(frequent[:characters]), OTHER]
    codes = {character: code for code, character in enumerate(names)}

    def coded(part: str) -> np.ndarray:
        return np.array([codes.get(character, len(names) - 1) for character in part], np.int32)

    rows = coded(train[: options.rows * width]).reshape(options.rows, width)
    held_out = coded(test)[np.newaxis] if options.test_fraction else None
    return symbols_dataset(rows, names, held_out, name)
