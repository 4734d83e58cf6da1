"""Checkpoints and manifests: bit-exact, and damage is always found."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tfbdl import runs
from tfbdl.errors import CheckpointError


@pytest.fixture
def store(tmp_path: Path) -> runs.CheckpointStore:
    store = runs.CheckpointStore(tmp_path / runs.CHECKPOINTS)
    for step in (1, 2, 3):
        store.save(step, {"w": np.full((3, 2), step / 10), "file": np.array(step)}, {"epoch": step})
    return store


def test_checkpoint_comes_back_bit_by_bit(store: runs.CheckpointStore) -> None:
    arrays = {
        "a/b.c": np.array([0.1, math.nan, -0.0], np.float32),
        "i": np.array(2**62, np.int64),
        "names": np.array(["x", "yz"]),
    }
    store.save(4, arrays, {"loss": 0.1, "count": np.int64(3), "best": None})
    restored = store.restore()
    assert restored is not None
    step, found, notes = restored
    assert step == 4
    assert notes == {"loss": 0.1, "count": 3, "best": None}
    assert sorted(found) == sorted(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    assert store.warnings == []


def test_store_keeps_the_last_two(store: runs.CheckpointStore) -> None:
    assert store.steps() == [2, 3]
    assert sorted(p.name for p in store.folder.iterdir()) == ["000000002", "000000003"]


def test_store_without_checkpoints_restores_nothing(tmp_path: Path) -> None:
    assert runs.CheckpointStore(tmp_path / "none").restore() is None


def test_flipped_bit_is_found_and_the_checkpoint_before_is_taken(
    store: runs.CheckpointStore,
) -> None:
    path = store.path(3) / "arrays.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    restored = store.restore()
    assert restored is not None
    assert restored[0] == 2
    assert restored[1]["w"].tolist() == [[0.2, 0.2]] * 3
    assert "step 3 is damaged" in store.warnings[0]
    assert "checksum does not match" in store.warnings[0]
    assert "step 2" in store.warnings[1]


@pytest.mark.parametrize("name", ["arrays.npz", "notes.json", "manifest.json"])
def test_truncated_file_is_found(store: runs.CheckpointStore, name: str) -> None:
    path = store.path(3) / name
    path.write_bytes(path.read_bytes()[:-5])
    restored = store.restore()
    assert restored is not None
    assert restored[0] == 2
    assert name in store.warnings[0]


def test_store_without_a_whole_checkpoint_is_an_error(store: runs.CheckpointStore) -> None:
    (store.path(2) / "manifest.json").unlink()
    (store.path(3) / "notes.json").unlink()
    with pytest.raises(CheckpointError, match=r"None of the checkpoints.*step 3.*step 2"):
        store.restore()


def test_save_gives_up_what_lies_beyond_the_resumed_step(store: runs.CheckpointStore) -> None:
    (store.path(3) / "arrays.npz").unlink()
    restored = store.restore()
    assert restored is not None
    store.save(2, {"w": np.zeros(1)}, {"again": True})
    assert store.steps() == [2]
    restored = store.restore()
    assert restored is not None
    assert restored[2] == {"again": True}


def test_half_written_checkpoint_is_no_checkpoint(store: runs.CheckpointStore) -> None:
    half = store.folder / ".000000004.123.tmp"
    half.mkdir()
    (half / "arrays.npz").write_bytes(b"PK")
    restored = store.restore()
    assert restored is not None
    assert restored[0] == 3
    store.save(4, {}, {})
    assert not half.exists()


def test_save_refuses_what_would_not_come_back(store: runs.CheckpointStore) -> None:
    with pytest.raises(CheckpointError, match=r"'o' has the dtype object"):
        store.save(4, {"o": np.array([None])}, {})
    with pytest.raises(CheckpointError, match="plain values"):
        store.save(4, {}, {"callback": print})
    assert store.steps() == [2, 3]
    assert [p.name for p in store.folder.iterdir() if p.name.startswith(".")] == []


def test_manifest_refuses_a_name_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    inner = tmp_path / "inner"
    inner.mkdir()
    runs.write_manifest(inner, [])
    entry = {"../secret": {"bytes": 1, "sha256": "0" * 64}}
    (inner / "manifest.json").write_text(json.dumps({"files": entry}))
    with pytest.raises(CheckpointError, match="outside its folder"):
        runs.verify_manifest(inner)


def test_manifest_vouches_for_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"abc")
    runs.write_manifest(tmp_path, ["a.bin"])
    stored = json.loads((tmp_path / "manifest.json").read_text())
    # sha256 of "abc", FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert stored["files"]["a.bin"]["sha256"] == expected
    assert runs.verify_manifest(tmp_path) == ("a.bin",)
    with pytest.raises(CheckpointError, match="is missing"):
        runs.write_manifest(tmp_path, ["b.bin"])
