"""Texts as rows of symbols, the entropy rate of a Markov chain, and the floor that it sets."""

import itertools

import numpy as np
import pytest
from scipy import stats
from tfbdl_bbb.markov_chain import MarkovChain
from tfbdl_bbb.rnn_config import MarkovTextOptions
from tfbdl_bbb.texts import OTHER, to_text

import tfbdl
from tfbdl import errors
from tfbdl.config import make
from tfbdl.registry import registry, resolve


def dataset(name, **options):
    spec = registry().datasets[name]
    return resolve(spec.factory)(make(spec.config, options, name))


# -- the Markov chain ------------------------------------------------------------------------


def test_entropy_rate_of_two_states_is_the_textbook_formula():
    a, b = 0.1, 0.4  # Cover & Thomas 2006, eq. (4.12): P(0 -> 1), P(1 -> 0)
    chain = MarkovChain(transition=np.array([[1 - a, a], [b, 1 - b]]), order=1)
    np.testing.assert_allclose(chain.stationary, [b / (a + b), a / (a + b)], atol=1e-12)
    expected = b / (a + b) * stats.entropy([a, 1 - a]) + a / (a + b) * stats.entropy([b, 1 - b])
    assert chain.entropy_rate == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_chain_of_any_order_is_the_chain_of_its_contexts(order):
    chain = MarkovChain.of(MarkovTextOptions(num_symbols=3, order=order, concentration=1.0))
    contexts = list(itertools.product(range(3), repeat=order))  # brute force: K^k states
    P = np.zeros((len(contexts), len(contexts)))
    for i, context in enumerate(contexts):
        for symbol in range(3):
            P[i, contexts.index((*context[1:], symbol))] = chain.transition[i, symbol]
    values, vectors = np.linalg.eig(P.T)
    pi = np.real(vectors[:, np.argmin(np.abs(values - 1.0))])
    np.testing.assert_allclose(chain.stationary, pi / pi.sum(), atol=1e-10)
    rows = chain.sample(2, 40, 1)
    found = chain.log_probs(rows)
    for row, t in itertools.product(range(2), range(order, 40)):
        i = contexts.index(tuple(rows[row, t - order : t]))
        assert found[row, t - order] == np.log(chain.transition[i, rows[row, t]])


def test_sampled_rows_have_the_entropy_rate():
    chain = MarkovChain.of(MarkovTextOptions())
    terms = -chain.log_probs(chain.sample(200, 500, 3)).mean(axis=1)
    error = terms.std(ddof=1) / np.sqrt(len(terms))
    assert abs(terms.mean() - chain.entropy_rate) < 4 * error
    assert error < 0.01


# -- data sets -------------------------------------------------------------------------------


def test_markov_text_knows_its_symbols_and_holds_out_a_row():
    data = dataset("markov_text", rows=3, row_length=50, test_length=70, num_symbols=4)
    assert (data.x.shape, data.x_test.shape) == ((3, 50, 1), (1, 70, 1))
    assert data.info.class_names == ("s0", "s1", "s2", "s3")
    other = dataset("markov_text", rows=3, row_length=50, num_symbols=4, text_seed=1)
    assert (data.x != other.x).any()


def test_descriptions_are_the_texts_of_scikit_learn():
    data = dataset("descriptions", rows=7)
    text = "".join(to_text(row, data.info.class_names) for row in data.x)
    assert text.count("Iris plants dataset") == 1
    assert len(data.info.class_names) == data.info.num_classes == len(set(data.info.class_names))
    held_out = to_text(data.x_test, data.info.class_names)
    assert 0.05 < len(held_out) / (len(text) + len(held_out)) < 0.15


def test_a_file_becomes_rows_whose_text_can_be_read_again(tmp_path):
    path = tmp_path / "rhyme.txt"
    written = "the cat sat on the mat, über allem. " * 10
    path.write_text(written, encoding="utf-8")
    data = dataset("text", path=str(path), rows=4, test_fraction=0.25)
    names = data.info.class_names
    whole = "".join(to_text(row, names) for row in data.x) + to_text(data.x_test, names)
    assert written.startswith(whole[:200])
    assert len(written) - len(whole) < 4
    few = dataset("text", path=str(path), rows=4, characters=3, test_fraction=0.0)
    assert few.info.class_names == (" ", "a", "t", OTHER)
    assert few.x_test is None
    assert to_text(few.x[0], few.info.class_names)[:7] == f"t{OTHER}{OTHER} {OTHER}at"


def test_texts_that_cannot_be_read_or_cut_are_refused_in_words(tmp_path):
    with pytest.raises(errors.DataError, match="cannot be read as a text"):
        dataset("text", path=str(tmp_path / "no.txt"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(errors.DataError, match="in UTF-8"):
        dataset("text", path=str(tmp_path / "bytes.txt"))
    (tmp_path / "short.txt").write_text("abc")
    with pytest.raises(errors.DataError, match="too short for 20 rows"):
        dataset("text", path=str(tmp_path / "short.txt"))


# -- by name ---------------------------------------------------------------------------------


def test_the_number_of_symbols_must_be_known():
    x = np.zeros((2, 5, 1), np.float32)
    with pytest.raises(errors.DataError, match="Give the model option num_symbols"):
        tfbdl.build("bayesian_rnn", x)
    model = tfbdl.build("bayesian_rnn", x, model_options={"num_symbols": 4, "units": 2})
    assert model.num_symbols == 4
    data = dataset("markov_text", rows=2, row_length=9, num_symbols=5)
    with pytest.raises(errors.DataError, match="The data have 5 symbols"):
        tfbdl.build("bayesian_rnn", data, model_options={"num_symbols": 4})
    with pytest.raises(errors.DataError, match="targets beside them"):
        tfbdl.build("bayesian_rnn", (x[..., 0], np.zeros(2)), model_options={"num_symbols": 4})


@pytest.mark.parametrize("posterior", ["mean_field", "low_rank", "delta"])
def test_options_reach_the_model(posterior):
    data = dataset("markov_text", rows=2, row_length=9, num_symbols=3)
    options = {"cell": "gru", "units": 3, "layers": 2, "embedding_dim": 2, "posterior": posterior,
               "rank": 2, "length": 4, "streams": 6, "kl_weight": 0.5}  # fmt: skip
    model = tfbdl.build("bayesian_rnn", data, model_options=options, seed=2)
    assert (model.length, model.streams, model.kl_weight) == (4, 6, 0.5)
    assert model.posterior_family == posterior
    assert [part.shape[1] for part in model.net.inputs[1:]] == [3, 3]
    assert "gru_1.gru_cell.kernel" in model.random_sites


@pytest.mark.slow
@pytest.mark.parametrize("sharpening", [False, True])
def test_no_model_is_below_the_entropy_rate_and_a_trained_one_is_near_it(sharpening):
    chosen = {"num_symbols": 4, "order": 2, "concentration": 0.3, "row_length": 1001}
    chain = MarkovChain.of(MarkovTextOptions(**chosen))
    fit = tfbdl.fit(
        "bayesian_rnn",
        "markov_text",
        data_options={**chosen, "test_length": 20_000},
        model_options={"units": 24, "embedding_dim": 8, "sharpening": sharpening},
        engine_options={"steps": 1_500},
        seed=0,
    )
    test = fit.dataset().x_test[..., 0].astype(int)
    truth = -chain.log_probs(test)[0]  # what the truth itself says of these very symbols
    terms = -fit.model.log_probs(test, draws=10)[0, 1:]
    excess = terms - truth
    error = excess.std() / np.sqrt(excess.size)
    assert excess.mean() > -3 * error  # expected to be a Kullback-Leibler divergence
    assert fit.metrics["test_nll"] < chain.entropy_rate + 0.08
    unigram = stats.entropy(np.bincount(fit.dataset().x.astype(int).ravel()))
    assert unigram > chain.entropy_rate + 0.3  # there was something to learn
