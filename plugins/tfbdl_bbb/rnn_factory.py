"""From options and a description of the data to a BayesianRNN."""

from __future__ import annotations

from typing import Any

from tfbdl import functional
from tfbdl.data import DataInfo
from tfbdl.distributions import Prior
from tfbdl.errors import DataError

from .bayesian_rnn import BayesianRNN
from .rnn_config import BayesianRNNOptions
from .rnn_net import recurrent_net


def build(
    options: BayesianRNNOptions, info: DataInfo | None, prior: Prior, seed: int
) -> BayesianRNN:
    """Make the model for rows of symbols that ``info`` describes.

    Args:
        options: See BayesianRNNOptions.
        info: Its ``num_classes`` are the symbols, where the data set knows them.
        prior: Over each weight.
        seed: Of the initial weights and of the noise.

    Raises:
        DataError: If the number of symbols is not known, or the data are no rows of symbols.
    """
    with functional.seeded(seed):
        net = recurrent_net(
            _num_symbols(options, info),
            cell=options.cell,
            units=options.units,
            layers=options.layers,
            embedding_dim=options.embedding_dim,
            dropout=options.dropout,
            recurrent_dropout=options.recurrent_dropout,
        )
    posterior_options: dict[str, Any] = {}
    if options.posterior != "delta":
        posterior_options["initial_raw_scale"] = options.initial_raw_scale
    if options.posterior == "low_rank":
        posterior_options["rank"] = options.rank
    model = BayesianRNN(
        net,
        prior,
        length=options.length,
        streams=options.streams,
        sharpening=options.sharpening,
        sharpening_scale=options.sharpening_scale,
        sharpening_rate=options.sharpening_rate,
        posterior=options.posterior,
        posterior_options=posterior_options,
        kl_weight=options.kl_weight,
        name="bayesian_rnn",
    )
    model.rng_seed.assign(seed)
    if info is not None and info.num_rows is not None:
        steps = info.x_shape[0] if isinstance(info.x_shape, tuple) and info.x_shape else None
        model.num_data = info.num_rows  # until fit counts what it trains on
        model.symbols_seen.assign(info.num_rows * max((steps or 1) - 1, 0))
    return model


def _num_symbols(options: BayesianRNNOptions, info: DataInfo | None) -> int:
    if info is not None and (not isinstance(info.x_shape, tuple) or info.y_shape is not None):
        kind = "targets beside them" if info.y_shape is not None else "several inputs"
        raise DataError(
            "Model 'bayesian_rnn' predicts the symbols of x. Expected: rows of symbols, [n, T] or "
            f"[n, T, 1], alone. Received: {kind}."
        )
    known = None if info is None else info.num_classes
    if options.num_symbols is not None and known is not None and options.num_symbols < known:
        raise DataError(
            f"The data have {known} symbols. Expected: at least so many in the model option "
            f"num_symbols. Received: {options.num_symbols}."
        )
    number = options.num_symbols or known
    if number is None:
        raise DataError(
            "The number of symbols is not known. Give the model option num_symbols (the largest "
            "symbol and one), or a data set of texts, which knows it. Received: rows "
            f"{None if info is None else list(info.x_shape)} without names of symbols."
        )
    return number
