"""InfoGAN as a Keras model: its losses, files and refusals; test_gan_theory.py has its bound."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from tfbdl_bayesian_gan import InfoGAN, builders
from tfbdl_bayesian_gan.codes import Categorical, Uniform

import tfbdl
from tfbdl import functional
from tfbdl.errors import DataError, ModelError, OptionsError

X = np.random.default_rng(0).normal(size=(32, 2)).astype("float32")
CODES = (Categorical(3), Uniform(scale=None))  # 4 numbers, 5 units


def model_of(**options) -> InfoGAN:
    with functional.seeded(1):
        generator = builders.mlp_generator(2 + 4, (2,), (8,))
        discriminator = builders.mlp_discriminator((2,), (8,), code_units=5)
    return InfoGAN(generator, discriminator, 2, codes=CODES, **{"seed": 0, **options})


def trained(**options) -> tuple[InfoGAN, dict[str, list[float]]]:
    model = model_of(**options)
    model.compile(run_eagerly=True)
    return model, model.fit(X, batch_size=16, epochs=2, verbose=0).history


@pytest.fixture(scope="module")
def fitted() -> tuple[InfoGAN, dict[str, list[float]]]:
    return trained()


def test_fit_reports_the_information_of_each_kind_of_code(fitted) -> None:
    history = fitted[1]
    assert len(history["information"]) == len(history["continuous_information"]) == 2
    assert max(history["information"]) <= np.log(3.0)


def test_codes_without_weight_train_neither_net_by_q() -> None:
    model, _ = trained(code_weight=0.0, continuous_weight=0.0)
    fresh = model_of()
    for name in ("q_hidden", "codes"):
        for one, other in zip(
            model.discriminator.get_layer(name).weights,
            fresh.discriminator.get_layer(name).weights,
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


def test_one_code_alone_has_one_figure() -> None:
    with functional.seeded(1):
        nets = builders.mlp_generator(3, (2,), (4,)), builders.mlp_discriminator((2,), (4,), 1)
    model = InfoGAN(*nets, 2, codes=[Uniform()], seed=0)
    assert "information" not in model.figure_names()
    assert set(model.information(10)) == {"continuous_information"}


def test_sample_takes_codes_and_refuses_others(fitted) -> None:
    model = fitted[0]
    code = [0.0, 1.0, 0.0, 0.5]
    np.testing.assert_array_equal(
        model.sample(3, seed=1, codes=code), model.sample(3, seed=1, codes=[code] * 3)
    )
    assert not np.array_equal(model.sample(3, seed=1, codes=code), model.sample(3, seed=1))
    with pytest.raises(DataError, match=r"Expected codes of shape \[4\] or \[3, 4\]"):
        model.sample(3, codes=[0.0, 1.0])


def test_a_keras_file_holds_the_codes(fitted, tmp_path) -> None:
    model = fitted[0]
    model.save(tmp_path / "info_gan.keras")
    copy = tfbdl.load(tmp_path / "info_gan.keras")
    assert copy.codes == CODES
    for one, other in zip(model.read_codes(X), copy.read_codes(X), strict=True):
        np.testing.assert_array_equal(one, other)


def test_options_make_codes_and_nets() -> None:
    options = {"latent_dim": 3, "hidden": (4,), "categorical": (5, 2), "continuous": 1}
    model = tfbdl.build("info_gan", X, model_options=options)
    assert model.codes == (Categorical(5), Categorical(2), Uniform())
    assert model.generator.input_shape == (None, 3 + 5 + 2 + 1)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: model_of(code_weight=-1.0), OptionsError, "at least 0"),
        (
            lambda: InfoGAN(builders.mlp_generator(2, (2,)), builders.mlp_discriminator((2,)), 2,
                            codes=[]),
            OptionsError,
            "at least one code",
        ),
        (
            lambda: InfoGAN(builders.mlp_generator(5, (2,)),
                            builders.mlp_discriminator((2,), (4,), 4), 2),
            ModelError,
            r"must take z \[n, 12\]",
        ),
        (
            lambda: InfoGAN(builders.mlp_generator(12, (2,)),
                            builders.mlp_discriminator((2,), (4,), 4), 2),
            ModelError,
            r"two outputs: logits \[n, 1\], and \[n, 10\] parameters",
        ),
        (
            lambda: tfbdl.build("info_gan", X, model_options={"categorical": (), "continuous": 0}),
            OptionsError,
            "needs a code",
        ),
    ],
)  # fmt: skip
def test_nets_and_codes_that_do_not_go_together_are_refused(make, error, text) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_discriminator_without_q_is_refused() -> None:
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    with pytest.raises(ModelError, match="must give two outputs"):
        InfoGAN(builders.mlp_generator(12, (2,)), net, 2)
