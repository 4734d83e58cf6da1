"""Errors say what is wrong, what was expected and what was received."""

from __future__ import annotations

import pickle

import pytest

from tfbdl import errors


def test_unknown_name_error_names_the_nearest_and_lists_the_known() -> None:
    error = errors.UnknownNameError("engine", "nust", ["nuts", "hmc"])
    assert str(error) == "No engine is named 'nust'. Did you mean 'nuts'? Known: hmc, nuts."


def test_unknown_name_error_without_a_near_name_only_lists() -> None:
    error = errors.UnknownNameError("prior", "xyzzy", ["normal"])
    assert str(error) == "No prior is named 'xyzzy'. Known: normal."


def test_unknown_name_error_says_so_when_nothing_is_known() -> None:
    assert (
        str(errors.UnknownNameError("model", "bnn", [])) == "No model is named 'bnn'. Known: none."
    )


def test_unknown_name_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(errors.UnknownNameError("engine", "nust", ["nuts"])))
    assert (error.kind, error.name, error.known) == ("engine", "nust", ["nuts"])
    assert "Did you mean 'nuts'?" in str(error)


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.UnknownNameError, KeyError),
        (errors.UnknownNameError, ValueError),
        (errors.OptionsError, ValueError),
        (errors.SpecError, ValueError),
        (errors.CapabilityError, ValueError),
        (errors.DataError, ValueError),
        (errors.ModelError, ValueError),
        (errors.RunError, RuntimeError),
        (errors.CheckpointError, OSError),
        (errors.BackendError, RuntimeError),
        (errors.MissingDependencyError, ImportError),
    ],
)
def test_error_is_ours_and_also_the_builtin_one(cls: type, builtin: type) -> None:
    assert issubclass(cls, errors.TfbdlError)
    assert issubclass(cls, builtin)


def test_did_you_mean_is_empty_when_nothing_is_near() -> None:
    assert errors.did_you_mean("zzz", ["nuts", "hmc"]) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No file is at '/home/ada/my data/x.csv'.", "No file is at 'x.csv'."),
        ("/tmp/runs/first holds no run.", "first holds no run."),
        (r"'C:\Users\ada\x.csv' and C:\Users\ada\y.csv", "'x.csv' and y.csv"),
        ("~/runs/first: lost", "first: lost"),
        ("1/2 of kg/m, and/or https://example.org/a/b", None),
        ("layers 'dense/kernel' and dense/bias", None),
        ("OSError:/home/ada/x.csv", "OSError:x.csv"),
        ("file:///home/ada/secret/x.csv and FILE:/srv/y.csv", "x.csv and y.csv"),
        ("'file:///home/ada/my data/x.csv'", "'x.csv'"),
        ("in </home/ada/x> there is", "in <x> there is"),
        (r"from \\server\share\x, '\\server\share\y'", "from x, 'y'"),
        (r"C:/Users/ada/x and C:\\Users\\ada\\y", "x and y"),
        ("~ada/data/x.csv, ~ada/y.csv, '~ada/my data/z.csv'", "x.csv, y.csv, 'z.csv'"),
        ("/home/My User/x.csv is", "x.csv is"),
        ("/home/ada de souza/data/x.csv is", "x.csv is"),
        (r"C:\Users\Ada Smith\My Data (2)\x.csv is", "x.csv is"),
        ("/a/b:/c/d", "b:d"),
        ("/tmp/runs/first holds dense/bias", "first holds dense/bias"),
        ("/home/ada, dense/bias", "ada, dense/bias"),
        ("http://localhost:8501/live?run=a and s3://bucket/a/b", None),
        ("</b> and <br/>, 3 // 4, ./a/b, ../a/b, y ~ a/b, x/~y", None),
    ],
)
def test_paths_are_cut_down_to_their_last_part(text: str, expected: str | None) -> None:
    assert errors.without_paths(text) == (text if expected is None else expected)
