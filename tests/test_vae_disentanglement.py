"""The simulator of shapes, and scores of codes whose value is known."""

from __future__ import annotations

import numpy as np
import pytest
from tfbdl_vae.data_config import Shapes2DOptions
from tfbdl_vae.disentanglement import beta_vae_score, factor_vae_score, mutual_information_gap
from tfbdl_vae.shapes import Shapes2D, shapes2d

import tfbdl
from tfbdl.errors import DataError, OptionsError, TfbdlWarning

SCORES = (beta_vae_score, mutual_information_gap, factor_vae_score)
RNG = np.random.default_rng


class Factors:
    """A simulator whose images are the factors themselves."""

    def __init__(self, *sizes):
        self.factor_sizes = sizes

    def sample_factors(self, n, rng):
        return rng.integers(0, self.factor_sizes, (n, len(self.factor_sizes)))

    def images(self, factors):
        return factors


FIVE = Factors(3, 6, 20, 16, 16)


def standardized(factors):
    """Of mean 0 and variance 1: that of a uniform number below m is (m^2 - 1) / 12."""
    sizes = np.array(FIVE.factor_sizes)
    return (factors - (sizes - 1) / 2) / np.sqrt((sizes**2 - 1) / 12)


def rotated(seed):
    """An encoder that rotates the true factors."""
    rotation = np.linalg.qr(RNG(seed).normal(size=(5, 5)))[0]
    return lambda factors: standardized(factors) @ rotation


# -- the simulator -------------------------------------------------------------------------------


def test_shapes_have_the_factors_of_their_variant():
    five, three = Shapes2D("five"), Shapes2D("three")
    sizes = dict(zip(five.factor_names, five.factor_sizes, strict=True))
    assert sizes == {"shape": 3, "scale": 6, "orientation": 20, "x": 16, "y": 16}
    sizes = dict(zip(three.factor_names, three.factor_sizes, strict=True))
    assert sizes == {"scale": 8, "x": 16, "y": 16}
    assert five.grid().shape == (92_160, 5)


def test_images_are_binary_and_the_same_each_time():
    simulator = Shapes2D("five")
    factors = simulator.sample_factors(500, RNG(0))
    images = simulator.images(factors)
    assert images.shape == (500, 32, 32, 1)
    assert images.dtype == np.float32
    assert set(np.unique(images)) == {0.0, 1.0}
    np.testing.assert_array_equal(images, Shapes2D("five").images(factors))
    flat = Shapes2D("five", flat=True).images(factors)
    np.testing.assert_array_equal(flat, images.reshape(500, 1024))


def test_a_square_of_three_factors_is_where_and_as_wide_as_they_say():
    image = Shapes2D("three").images(np.array([[2, 5, 9]]))[0, :, :, 0]
    expected = np.zeros((32, 32))
    expected[9 + 8 - 3 : 9 + 8 + 4, 5 + 8 - 3 : 5 + 8 + 4] = 1.0  # the third width is 7 pixels
    np.testing.assert_array_equal(image, expected)


def test_all_images_of_three_factors_differ():
    simulator = Shapes2D("three", flat=True)
    images = simulator.images(simulator.grid())
    assert len(np.unique(images, axis=0)) == 8 * 16 * 16


@pytest.mark.parametrize(("shape", "distinct"), [(0, 5), (1, 10), (2, 20)])
def test_a_shape_has_as_many_orientations_as_its_symmetry_leaves(shape, distinct):
    simulator = Shapes2D("five", flat=True)
    for scale in range(6):
        factors = np.array([[shape, scale, angle, 7, 7] for angle in range(20)])
        assert len(np.unique(simulator.images(factors), axis=0)) == distinct


def test_a_shape_moves_a_pixel_for_a_step_and_stays_within_the_image():
    simulator = Shapes2D("five")
    looks = [[s, c, o] for s in range(3) for c in range(6) for o in range(20)]
    corner = simulator.images(np.array([[*look, 0, 0] for look in looks]))[..., 0]
    moved = simulator.images(np.array([[*look, 15, 4] for look in looks]))[..., 0]
    np.testing.assert_array_equal(np.roll(corner, (4, 15), axis=(1, 2)), moved)
    np.testing.assert_array_equal(corner.sum(axis=(1, 2)), moved.sum(axis=(1, 2)))
    assert corner[:, :17, :17].sum() == corner.sum()


def test_sampled_factors_are_uniform():
    factors = Shapes2D("five").sample_factors(30_000, RNG(1))
    for k, size in enumerate((3, 6, 20, 16, 16)):
        counts = np.bincount(factors[:, k], minlength=size)
        chi = ((counts - 30_000 / size) ** 2 / (30_000 / size)).sum()
        assert chi < size - 1 + 5 * np.sqrt(2 * (size - 1))  # five standard deviations


@pytest.mark.parametrize(
    ("factors", "match"),
    [
        (np.zeros((2, 3)), r"Expected factors \[n, 5\]: shape, scale, orientation, x, y"),
        (np.array([[3, 0, 0, 0, 0]]), r"Expected whole factors from 0 to \[2, 5, 19, 15, 15\]"),
        (np.array([[0, 0, 0, -1, 0]]), "Expected whole factors"),
        (np.array([[0, 0, 0.5, 0, 0]]), "Expected whole factors"),
        (np.array([[np.nan, 0, 0, 0, 0]]), "Expected whole factors.*nan"),
        (np.array([["a", "b", "c", "d", "e"]]), "Expected whole factors"),
    ],
)
def test_factors_that_do_not_exist_are_refused(factors, match):
    with pytest.raises(DataError, match=match):
        Shapes2D("five").images(factors)


def test_an_unknown_set_of_factors_is_refused():
    with pytest.raises(OptionsError, match="Did you mean 'three'"):
        Shapes2D("tree")


def test_the_data_set_holds_images_and_their_factors():
    from tfbdl.run import load_data

    simulator = Shapes2D("five", flat=True)
    options = {"variant": "five", "flat": True, "num_rows": 300, "sample_seed": 4}
    options["test_fraction"] = 0.0
    data = load_data(tfbdl.plan("dc_ign", "shapes2d", data_options=options))
    np.testing.assert_array_equal(data.x, simulator.images(data.y.astype(int)))
    assert len(np.unique(data.y, axis=0)) == 300
    assert data.info.target_names == ("shape", "scale", "orientation", "x", "y")
    with pytest.raises(DataError, match="has 2048 images"):
        load_data(tfbdl.plan("dc_ign", "shapes2d", data_options={"num_rows": 3000}))


def test_a_share_of_the_images_is_held_out():
    parts = [shapes2d(Shapes2DOptions(flat=True, split=split)) for split in (0, 0, 1)]
    for data in parts:
        assert (len(data.x), len(data.x_test)) == (2048 - 205, 205)  # a tenth, rounded up
        rows = np.concatenate([data.y, data.y_test])
        assert len(np.unique(rows, axis=0)) == 2048
    np.testing.assert_array_equal(parts[0].y_test, parts[1].y_test)
    assert not np.array_equal(parts[0].y_test, parts[2].y_test)
    whole = shapes2d(Shapes2DOptions(flat=True, test_fraction=0.0))
    np.testing.assert_array_equal(whole.y, Shapes2D("three").grid())
    assert whole.x_test is None
    with pytest.raises(DataError, match="no training row would be left"):
        shapes2d(Shapes2DOptions(num_rows=1, test_fraction=0.5))


# -- the scores ----------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
def test_true_factors_score_one(score):
    assert score(lambda images: images, FIVE, 0) > 0.99


def test_an_object_with_codes_is_an_encoder():
    class Model:
        def codes(self, images):
            return images

    assert factor_vae_score(Model(), FIVE, 0, num_train=500, num_eval=200) == 1.0


@pytest.mark.parametrize("score", SCORES)
def test_a_distribution_of_codes_is_scored_by_its_mean(score):
    from tensorflow_probability import distributions as tfd

    def encode(images):
        return tfd.MultivariateNormalDiag(images.astype("float32"), [3.0, 3.0])

    small = Factors(4, 6)
    assert score(encode, small, 0) == score(lambda images: images, small, 0) > 0.99


def test_noise_scores_by_chance():
    noise = RNG(0).normal(size=(int(np.prod(FIVE.factor_sizes)), 6))

    def encode(factors):
        return noise[np.ravel_multi_index(tuple(factors.T), FIVE.factor_sizes)]

    # 1 / 5, with four standard deviations of 2,000 points: sqrt(.2 * .8 / 2000) = .009
    assert beta_vae_score(encode, FIVE, 1) == pytest.approx(0.2, abs=0.036)
    assert factor_vae_score(encode, FIVE, 1) == pytest.approx(0.2, abs=0.036)
    assert mutual_information_gap(encode, FIVE, 1) < 0.01


def test_a_constant_code_tells_nothing():
    def encode(factors):
        return np.ones((len(factors), 3))

    assert mutual_information_gap(encode, FIVE, 0) == 0.0
    assert beta_vae_score(encode, FIVE, 0) == pytest.approx(0.2, abs=0.036)
    with pytest.warns(TfbdlWarning, match="No code varies"):
        assert factor_vae_score(encode, FIVE, 0) == pytest.approx(0.2, abs=0.036)


@pytest.mark.parametrize("score", SCORES)
def test_the_unit_of_the_codes_plays_no_part(score):
    few = {} if score is mutual_information_gap else {"num_train": 300, "num_eval": 200}
    plain = score(standardized, FIVE, 0, **few)
    assert plain > 0.99
    for unit in (1e-3, 1e3):
        found = score(lambda factors, unit=unit: unit * standardized(factors), FIVE, 0, **few)
        assert found == pytest.approx(plain, abs=1e-12)


def test_the_trace_in_collapsed_codes_tells_the_linear_classifier_nothing():
    def encode(factors):
        return standardized(factors) * [1.0, 1.0, 1.0, 1e-4, 1e-4]

    # Three factors are told, two are one another's like: 3 / 5 + 2 / 5 / 2, four standard errors.
    found = beta_vae_score(encode, FIVE, 0, num_train=300, num_eval=600)
    assert found == pytest.approx(0.8, abs=4 * np.sqrt(0.8 * 0.2 / 600))


def test_the_gap_encodes_no_image_twice_and_none_that_is_not_drawn():
    seen = []

    def encode(factors):
        seen.extend(map(tuple, factors.tolist()))
        return factors

    mutual_information_gap(encode, FIVE, 0, num_points=200)
    assert len(seen) == len(set(seen)) <= 200


def test_the_higgins_score_is_lenient_with_rotated_factors_and_the_gap_is_not():
    few = {"num_train": 500, "num_eval": 500}
    found = [
        [
            score(rotated(seed), FIVE, 0, **more)
            for score, more in zip(SCORES, (few, {}, few), strict=True)
        ]
        for seed in range(4)
    ]
    higgins, gap, factor_vae = np.transpose(found)
    assert np.median(higgins) > 0.9  # of twenty rotations 0.94, from 0.80 to 1
    assert gap.max() < 0.4
    assert gap.mean() < 0.25
    assert (factor_vae < higgins).all()


def test_the_gap_of_a_factor_told_by_two_codes_is_the_difference_of_what_they_know():
    # The second code knows the first bit of four equal values: log 2 of log 4 nats.
    two = Factors(4, 2)

    def encode(factors):
        first, second = factors.T
        return np.stack([first, first // 2, second], axis=1)

    gap = mutual_information_gap(encode, two, 0, num_points=50_000)
    assert gap == pytest.approx((0.5 + 1.0) / 2, abs=0.005)


def test_a_single_code_has_no_rival():
    # It knows the first of two factors whole, and nothing of the other.
    gap = mutual_information_gap(lambda f: f[:, :1], Factors(4, 4), 0, num_points=50_000)
    assert gap == pytest.approx(0.5, abs=0.005)


def test_collapsed_codes_take_no_part_in_the_vote():
    # Held at one value, the fourth factor leaves a trace in the collapsed code alone.
    def encode(factors):
        code = standardized(factors).astype(float)
        code[:, 3] *= 1e-3
        return code

    collapsed = factor_vae_score(encode, FIVE, 0)
    assert factor_vae_score(encode, FIVE, 0, negligible=0.0) > 0.99
    assert collapsed == pytest.approx(0.8, abs=0.05)  # four of five factors are told


def test_scores_are_functions_of_the_seed():
    encode = rotated(0)
    for score in (beta_vae_score, factor_vae_score):
        found = [score(encode, FIVE, seed, num_train=200, num_eval=300) for seed in (3, 3, 4)]
        assert found[0] == found[1] != found[2]
    gaps = [mutual_information_gap(encode, FIVE, seed) for seed in (3, 3, 4)]
    assert gaps[0] == gaps[1] != gaps[2]


def test_a_grid_too_large_to_be_encoded_whole_is_scored_by_what_is_drawn():
    many = Factors(*[16] * 6)  # sixteen million images
    few = {"num_train": 300, "num_eval": 100, "batch": 16}
    assert beta_vae_score(lambda f: f, many, 0, **few) > 0.98
    assert factor_vae_score(lambda f: f, many, 0, **few) == 1.0


@pytest.mark.parametrize("score", SCORES)
def test_codes_that_are_none_are_refused(score):
    small = Factors(2, 2)
    with pytest.raises(DataError, match=r"finite codes \[4, d\]"):
        score(lambda images: images[:, 0], small, 0)
    with pytest.raises(DataError, match="Received: NaN or Inf in shape"):
        score(lambda images: images * np.nan, small, 0)


def test_what_is_no_code_at_all_is_refused():
    for given in ("codes", [[1.0], [2.0, 3.0]], object()):
        with pytest.raises(DataError, match="or a distribution of them that has a mean"):
            beta_vae_score(lambda images, given=given: given, Factors(2, 2), 0)


def test_a_factor_of_one_value_has_no_gap():
    with pytest.raises(DataError, match="one value of factor 1"):
        mutual_information_gap(lambda images: images, Factors(3, 1), 0)


def test_a_number_of_points_below_one_is_refused():
    with pytest.raises(OptionsError, match=r"num_train must be an integer.*Received: 100\.0"):
        beta_vae_score(lambda images: images, FIVE, 0, num_train=1e2)
    with pytest.raises(OptionsError, match="batch must be an integer of at least 2"):
        factor_vae_score(lambda images: images, FIVE, 0, batch=1)
    with pytest.raises(OptionsError, match="num_eval must be an integer of at least 1"):
        beta_vae_score(lambda images: images, FIVE, 0, num_eval=0)
    with pytest.raises(OptionsError, match="bins must be an integer of at least 1"):
        mutual_information_gap(lambda images: images, FIVE, 0, bins=0)
