"""The scripts under examples/ run, with fewer epochs, and show what they say."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def example(name: str) -> Callable[..., dict[str, float]]:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


@pytest.mark.slow
def test_quickstart_regression_beats_the_mean_and_covers(capsys) -> None:
    scores = example("quickstart_regression")(epochs=60)
    assert scores["rmse"] < 71.0  # the standard deviation of the test targets is 71.6
    assert 0.8 < scores["coverage_90"] <= 1.0  # 89 rows: five standard errors about 0.9 and bias
    assert scores["aleatoric_sd"] > scores["epistemic_sd"] > 0.0
    assert "unlike all others" in capsys.readouterr().out


@pytest.mark.slow
def test_nile_is_fitted_and_its_hidden_years_are_covered(tmp_path: Path) -> None:
    found = example("nile")(tmp_path / "nile.png")
    assert abs(found["R"] - 15099) < 5.0  # Durbin & Koopman 2012, section 2.10.3
    assert abs(found["Q"] - 1469) < 5.0
    assert 0.75 < found["gaps_covered_90"] <= 1.0  # 40 years: three standard errors below 0.9
    assert (tmp_path / "nile.png").stat().st_size > 5000


@pytest.mark.slow
def test_ten_generators_find_modes_that_one_misses(tmp_path: Path) -> None:
    found = example("gan_modes")(tmp_path / "gan_modes.png")
    assert found["modes_ten"] >= 9
    assert found["modes_one"] < found["modes_ten"]
    assert found["js_ten"] <= 0.05 < 0.2 <= found["js_one"]
    assert (tmp_path / "gan_modes.png").stat().st_size > 5000


@pytest.mark.slow
def test_classification_errs_less_where_it_is_sure() -> None:
    scores = example("classification")(epochs=15)
    assert scores["test_error"] < 0.15  # chance is 0.9
    assert scores["error_surest_90"] < scores["error_all_rows"]
    assert scores["mutual_information"] > 0.0


@pytest.mark.slow
@pytest.mark.skipif("TFBDL_DATA" not in os.environ, reason="TFBDL_DATA is not set: no MNIST.")
def test_digits_are_drawn_from_two_and_from_twenty_latent_variables(tmp_path: Path) -> None:
    scores = example("vae_digits")(tmp_path, epochs=2, train_size=5000)
    assert -250.0 < scores["elbo_20"] < -80.0  # 543 nats before training, about -100 in the end
    pictures = {path.stem for path in tmp_path.iterdir()}
    assert pictures == {
        f"vae_{what}"
        for what in ("interpolations", "manifold", "reconstructions", "samples", "traversals")
    }


@pytest.mark.slow
@pytest.mark.skipif("TFBDL_DATA" not in os.environ, reason="TFBDL_DATA is not set: no MNIST.")
def test_draws_disagree_on_turned_ones_where_a_plain_net_is_sure_and_wrong(tmp_path: Path) -> None:
    found = example("rotated_digits")(tmp_path / "rotated_digits.png", epochs=3)
    assert all(values.shape == (37,) for values in found.values())  # each 5 of 180 degrees
    upright, lying = 0, slice(9, 16)  # 45 to 75 degrees
    assert found["plain entropy"][upright] < 0.1
    assert found["bbb entropy"][upright] < 0.1
    information = found["bbb mutual information"]
    assert information[lying].min() > 5.0 * information[upright]
    sure_and_wrong = [found[f"{net} sure and wrong"][lying].mean() for net in ("plain", "bbb")]
    assert sure_and_wrong[0] > 2.0 * sure_and_wrong[1]
    assert (tmp_path / "rotated_digits.png").stat().st_size > 5000


@pytest.mark.slow
def test_ten_diverse_digits_are_of_more_kinds_than_ten_at_random(tmp_path: Path) -> None:
    kinds = example("diverse_digits")(tmp_path / "diverse_digits.png")
    # ten kinds alike in number: 10 (1 - 0.9^10) of 10 are met; one draw has a deviation of 1
    assert abs(kinds["at random"] - 6.51) < 4.0 / math.sqrt(500)
    assert kinds["k-DPP of pixels"] > kinds["at random"]
    assert kinds["k-DPP of a net's output"] > 8.5
    assert (tmp_path / "diverse_digits.png").stat().st_size > 5000


@pytest.mark.slow
def test_shapes_are_drawn_with_their_scores(tmp_path: Path) -> None:
    scores = example("disentangled_shapes")(tmp_path / "shapes.png", steps=200)
    assert set(scores) == {"VAE", "beta = 4"}
    assert all(1 / 3 < score <= 1.0 for score in scores.values())
    assert (tmp_path / "shapes.png").stat().st_size > 5000


@pytest.mark.slow
def test_sentences_of_a_beam_search_are_distinct_and_say_the_entropy() -> None:
    found = example("distinct_sentences")(epochs=20, k=30, repeats=30)
    assert found["distinct"] == 30
    assert found["distinct_with_replacement"] < 30
    errors = (found["entropy_error"], found["entropy_error_with_replacement"])
    apart = abs(found["entropy"] - found["entropy_with_replacement"])
    # of 30 searches each; the normalised estimate is biased by less than a standard error of one
    assert apart < 4.0 * math.hypot(*errors) / math.sqrt(30) + errors[0] / 2


@pytest.mark.slow
def test_neighbours_tidy_up_a_noisy_photograph(tmp_path: Path) -> None:
    found = example("segment_image")(tmp_path, pixels=8, draws=60)
    assert found["borders_field"] < 0.5 * found["borders_alone"]
    assert found["regions_field"] < 0.3 * found["regions_alone"]
    assert found["rmse_field"] < found["rmse_alone"] < found["rmse_noisy"]
    assert 2 <= found["segments_median"] <= 40
    assert (tmp_path / "segments.png").stat().st_size > 5000
