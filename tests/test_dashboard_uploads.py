"""Uploads are what their contents say, whatever they are called, and nothing else is taken."""

from __future__ import annotations

import hashlib
import io
import pickle
import stat
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfbdl_dashboard import text_tables, uploads
from tfbdl_datasets.config import FileOptions
from tfbdl_datasets.files import file

from tfbdl.errors import DataError
from tfbdl.runs import RunFolder
from tfbdl.specs import RunSpec

TABLE = "size,rooms,price\n50,2,100.5\n70,3,140.25\n90,4,180.0\n"


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def archive(**members: bytes) -> bytes:
    """A zip archive; an underscore in a name stands for a dot."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, content in members.items():
            packed.writestr(name.replace("__", "/").replace("_", "."), content)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def parquet(frame: pd.DataFrame, **options: Any) -> bytes:
    stream = io.BytesIO()
    frame.to_parquet(stream, **options)
    return stream.getvalue()


def parquet_of(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def refusal(content: bytes, name: str = "data.csv") -> str:
    with pytest.raises(DataError) as raised:
        uploads.inspect(content, name)
    return str(raised.value)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet", "a.npz", "../../a", "a", ""])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_text_is_read_whatever_it_is_called_and_parted_by(name: str, separator: str) -> None:
    found = uploads.inspect(TABLE.replace(",", separator).encode(), name)
    assert (found.suffix, found.separator, found.rows) == ("csv", separator, 3)
    assert [column.name for column in found.columns] == ["size", "rooms", "price"]
    assert [column.kind for column in found.columns] == ["whole number", "whole number", "number"]
    assert found.head is not None
    assert found.head["price"].tolist() == [100.5, 140.25, 180.0]


def test_separator_inside_quotes_and_a_byte_order_mark_do_no_harm() -> None:
    text = '\ufeffname;size\n"a; b, c";1.5\n"d";2\n'
    found = uploads.inspect(text.encode())
    assert found.separator == ";"
    assert [column.name for column in found.columns] == ["name", "size"]
    assert dict(found.columns[0].counts) == {"a; b, c": 1, "d": 1}


def test_names_of_columns_lose_the_spaces_around_them_as_in_a_run(tmp_path: Path) -> None:
    text = "id ,size,price \n1,50,100.5\n2,70,140.25\n"
    (tmp_path / "a.csv").write_text(text)
    frame = pd.DataFrame({"id ": [1, 2], "size": [50, 70], "price ": [100.5, 140.25]})
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        found = uploads.inspect((tmp_path / name).read_bytes())
        assert [column.name for column in found.columns] == ["id", "size", "price"]
        assert found.head is not None
        assert list(found.head) == ["id", "size", "price"]
        read = file(FileOptions(path=str(tmp_path / name), features=("size", "id")))
        assert read.info.feature_names == ("size", "id")
        assert read.info.target_names == ("price",)


def test_parquet_and_arrays_are_known_by_their_contents() -> None:
    frame = pd.DataFrame({"a": [1.0, np.nan], "b": ["x", "y"]})
    table = uploads.inspect(parquet(frame), "a.csv")
    assert (table.suffix, table.rows, table.columns[0].missing) == ("parquet", 2, 1)
    assert table.columns[1].kind == "text"
    x = np.array([[1.0, np.inf], [2.0, np.nan], [3.0, 4.0]])
    arrays = uploads.inspect(npz(x=x, y=np.array([0, 1, 1]), other=x), "a.csv")
    assert (arrays.suffix, arrays.rows) == ("npz", 3)
    by_name = {check.name: check for check in arrays.arrays}
    assert (by_name["x"].shape, by_name["x"].missing, by_name["x"].infinite) == ((3, 2), 1, 1)
    assert by_name["y"].column is not None
    assert by_name["y"].column.distinct == 2
    assert by_name["y"].head is not None
    assert by_name["y"].head["y"].tolist() == [0, 1, 1]
    assert by_name["x"].head is not None
    assert by_name["x"].head["x[0]"].tolist() == [1.0, 2.0, 3.0]
    assert by_name["x"].used
    assert not by_name["other"].used


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "The file is empty"),
        (b" \n\n", "The file is empty"),
        (b"a,b\n", "a header alone"),
        (b"a,b\n1,2\n3,4,5\n6,7\n", "Line 3 has 3 cells, and the header has 2"),
        (b"a,b,c\n1,2,3\n4,5\n", "Line 3 has 2 cells, and the header has 3"),
        (b"1,2\n3,4\n", "The first line holds numbers alone"),
        (b"a,,c\n1,2,3\n", "Column 2 has no name"),
        (b"a,b,a\n1,2,3\n", "Two columns are named 'a'"),
        (b"name,town\nAnn,Rome\nBob,Oslo\n", "No column of this table holds numbers"),
        (b"a;b\n1,5;2,5\n2,5;3,5\n", "Its numbers have commas where points are expected"),
        (b"a,b\n1,\x00\n", "control character"),
        (bytes(range(128, 256)) * 4, "no text in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b'a,b\n1,"' + b"x" * 2000 + b'"\n', "a cell of 2,000 characters"),
        (b'a,b\n1,"2\n3,4\n', "cannot be read as a table"),
    ],
)
def test_malformed_text_is_refused_and_said_to_be_so(content: bytes, said: str) -> None:
    assert said in refusal(content)


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (pickle.dumps({"a": 1}), "data.csv", "a pickle"),
        (TABLE.encode(), "model.pkl", "a pickle"),
        (TABLE.encode(), "plugin.py", "code"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "data.npz", "an HDF5 file"),
        (archive(config_json=b"{}", model_weights_h5=b""), "data.npz", "a Keras model"),
        (archive(archive__data_pkl=b"x"), "data.npz", "a stored PyTorch model"),
        (archive(xl__workbook_xml=b"x"), "data.npz", "holds 'xl/workbook.xml'"),
        (npy(np.zeros(3)), "data.npz", "a single NumPy array"),
        (b"\x1f\x8b" + bytes(20), "data.csv", "a gzip archive"),
        (b'{"a": [1, 2]}', "data.csv", "JSON"),
        (b"<html></html>", "data.csv", "a page of HTML"),
        (b"\x7fELF" + bytes(20), "data.csv", "a program"),
    ],
)
def test_models_code_and_other_files_are_refused_by_name_of_what_they_are(
    content: bytes, name: str, said: str
) -> None:
    assert said in refusal(content, name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (archive(), "The archive is empty"),
        (archive(x_npy=npy(np.array([{}], object))), "objects are never read"),
        (archive(x_npy=npy(np.array(["a"]))), "Expected numbers"),
        (archive(x_npy=npy(np.zeros(2)), up__y_npy=npy(np.zeros(2))), "holds 'up/y.npy'"),
        (archive(x_npy=npy(np.zeros(2)), run_py=b"x"), "holds 'run.py'"),
        (archive(x_npy=npy(np.zeros(100))[:-8]), "cut short"),
        (archive(x_npy=b"nothing"), "no header that can be read"),
        (npz(y=np.zeros(3)), "There is no array x"),
        (npz(x=np.zeros((3, 1)), y=np.zeros(2)), "Expected equally many rows"),
        (npz(x=np.zeros(3))[:60], "no whole npz file"),
        (npz(x=np.zeros((0, 2))), "Expected rows"),
        (npz(x=np.zeros((4, 0))), "x has the shape (4, 0). Expected rows"),
        (
            npz(x=np.zeros((9, 3)), y=np.zeros(9), x_test=np.zeros((5, 4)), y_test=np.zeros(5)),
            "x has the shape (9, 3), and x_test (5, 4). Expected rows of one form",
        ),
        (
            npz(x=np.zeros((9, 3)), y=np.zeros(9), y_test=np.zeros(9)),
            "There is an array y_test, and no x_test",
        ),
        (
            npz(x=np.zeros((9, 3)), x_test=np.zeros((9, 3)), y_test=np.zeros(9)),
            "There is an array y_test, and no y.",
        ),
        (
            npz(x=np.zeros((9, 3)), y=np.zeros(9), sample_weight=np.ones((9, 1))),
            "sample_weight has the shape (9, 1). Expected one for each row",
        ),
    ],
)
def test_arrays_that_are_none_or_do_not_fit_are_refused(content: bytes, said: str) -> None:
    assert said in refusal(content)


def test_no_code_of_an_array_file_is_run(tmp_path: Path) -> None:
    touched = tmp_path / "touched"

    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (touched,))

    refusal(archive(x_npy=npy(np.array([Touch()], object))))
    refusal(pickle.dumps(Touch()))
    assert not touched.exists()


def test_archive_that_grows_on_unpacking_is_refused_before_it_is_unpacked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tfbdl_dashboard.array_files.MAX_BYTES", 2**20)
    small = npz(x=np.zeros((2**18, 1)))
    assert len(small) < 2**14
    assert "Expected at most 1 MB" in refusal(small)


def test_parquet_is_held_against_the_limits_before_its_rows_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "no whole Parquet file" in refusal(b"PAR1" + bytes(50))
    lists = pd.DataFrame({"a": [[1, 2], [3]]})
    assert "Expected one value in each cell" in refusal(parquet(lists))
    assert "no rows" in refusal(parquet(pd.DataFrame({"a": np.zeros(0)})))
    long = pd.DataFrame({"a": [1.0, 2.0], "b": ["x" * 5000, "y"]})
    assert "a text of 5,000 bytes" in refusal(parquet(long))
    for blob in (b"x", b"y" * 100):
        columns = {"a": [1.0, 2.0], "b": [blob, blob]}
        assert "'b' holds binary. Expected numbers" in refusal(parquet(pd.DataFrame(columns)))
    fixed = pa.table({"a": [1.0, 2.0], "b": pa.array([b"abc", b"def"], pa.binary(3))})
    assert "'b' holds fixed_size_binary[3]. Expected numbers" in refusal(parquet_of(fixed))
    for kind in (pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        texts = pa.array(["x" * 5000, "y"]).cast(kind)
        table = parquet_of(pa.table({"a": [1.0, 2.0], "b": texts}))
        assert "a text of 5,000 bytes" in refusal(table)
    monkeypatch.setattr(uploads, "_MAX_UNPACKED", 2**20)
    zeros = pa.table({"a": np.zeros(2**18)})
    grown = parquet_of(zeros, use_dictionary=False, compression="zstd")
    assert len(grown) < 2**14
    assert "takes 2 MB once it is unpacked. Expected at most 1 MB" in refusal(grown)
    monkeypatch.setattr(uploads, "_MAX_TEXT_BYTES", 10_000)
    repeated = pd.DataFrame({"a": np.zeros(1000), "b": ["x" * 50] * 1000})
    assert "The texts of the column 'b'" in refusal(parquet(repeated))
    monkeypatch.setattr(uploads, "MAX_CELLS", 10)
    assert "Expected at most" in refusal(
        parquet(pd.DataFrame(np.zeros((6, 2)), columns=["a", "b"]))
    )


def test_text_is_held_against_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "MAX_COLUMNS", 2)
    assert "Expected at most 2" in refusal(TABLE.encode())
    monkeypatch.setattr(text_tables, "MAX_COLUMNS", 3)
    monkeypatch.setattr(text_tables, "MAX_CELLS", 5)
    assert "over 5 cells" in refusal(TABLE.encode())
    monkeypatch.setattr(uploads, "MAX_BYTES", 10)
    assert "The file has" in refusal(TABLE.encode())


def test_upload_is_kept_under_its_digest_for_the_owner_alone(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    content = TABLE.encode()
    path = uploads.keep(root, content, uploads.suffix_of(content, "../../evil.sh"))
    assert path == root / ".uploads" / f"{hashlib.sha256(content).hexdigest()}.csv"
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert uploads.keep(root, content, "csv") == path
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_only_old_uploads_that_no_run_names_are_removed(tmp_path: Path) -> None:
    def kept(text: str) -> Path:
        return uploads.keep(tmp_path, text.encode(), "csv")

    named, archived, _, strange = (kept(f"a\n{i}\n") for i in range(4))
    strange = strange.rename(strange.with_name("notes.csv"))
    for path, folder in ((named, "first"), (archived, ".archive/second")):
        spec = RunSpec(model="gmm", data=str(path))
        RunFolder(tmp_path / folder).create().write_spec(spec)
    now = time.time()
    assert uploads.tidy(tmp_path, now + 3600) == 0
    assert uploads.tidy(tmp_path, now + 25 * 3600) == 1
    assert set((tmp_path / uploads.FOLDER).iterdir()) == {named, archived, strange}
    assert uploads.tidy(tmp_path / "none") == 0


def test_kept_upload_has_a_short_name_to_be_shown(tmp_path: Path) -> None:
    path = uploads.keep(tmp_path, TABLE.encode(), "csv")
    assert uploads.data_label(str(path)) == f"upload {path.name[:8]}.csv"
    assert uploads.data_label("/home/me/houses.csv") == "houses.csv"
    assert uploads.data_label("diabetes") == "diabetes"
