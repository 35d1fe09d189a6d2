"""Random splits, against what hashes and counts give by themselves."""

import hashlib
import json

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import write_store, write_wfdb

from ecgvae.data.prepare import build_store
from ecgvae.data.splits import random_folds, table_folds
from ecgvae.data.store import Store

PARTS = ("train", "validation", "test")


def hashed_folds(groups):
    return [1 + int(hashlib.sha256(group.encode()).hexdigest(), 16) % 10 for group in groups]


def part(fold):
    return PARTS[max(0, fold - 8)]


@given(groups=st.lists(st.text(max_size=8), min_size=1, max_size=40))
def test_no_part_is_empty_and_the_order_does_not_matter(groups):
    folds = dict(zip(groups, random_folds(groups, fill=True), strict=True))
    assert folds == dict(zip(groups[::-1], random_folds(groups[::-1], fill=True), strict=True))
    found = {part(fold) for fold in folds.values()}
    assert found == set(PARTS[:len(folds)])
    plain = dict(zip(groups, hashed_folds(groups), strict=True))
    assert list(random_folds(groups, fill=False)) == [plain[group] for group in groups]
    if {part(fold) for fold in plain.values()} == set(PARTS):
        assert folds == plain
    moved = [group for group in folds if folds[group] != plain[group]]
    assert len(moved) <= 3


@pytest.mark.parametrize("count", range(1, 12))
def test_small_stores_have_all_parts(count, tmp_path):
    for index in range(count):
        for visit in "ab":
            write_wfdb(tmp_path / "in" / f"p{index}{visit}", np.ones((3, 1)), ("II",))
    names = [f"p{index}{visit}" for index in range(count) for visit in "ab"]
    labels = pandas.DataFrame({"patient": [name[:-1] for name in names]}, index=names)
    store = build_store(tmp_path / "in", tmp_path / "out", leads=("II",), labels=labels, workers=1)
    patients = [{store.records["patient"][row] for row in store.split(name)} for name in PARTS]
    assert sum(map(len, patients)) == len(set.union(*patients)) == count
    assert [bool(group) for group in patients] == [count > index for index in range(3)]
    assert store.manifest["random_split"] == "patient"
    remark, = store.remarks
    assert f"at random by patient, {len(patients[0])} train, {len(patients[1])} validation" in remark
    assert ("want 3 patients or more" in remark) == (count < 3)


def test_stores_of_earlier_versions_keep_their_splits(tmp_path):
    names = ["r0", "r1", "r2", "r3"]
    assert {part(fold) for fold in hashed_folds(names)} == {"train"}
    store = write_store(tmp_path / "old", np.ones((4, 1, 10)), ("II",))
    assert not len(store.split("validation")) and not store.remarks
    manifest = json.loads((store.path / "manifest.json").read_text())
    (store.path / "manifest.json").write_text(json.dumps({**manifest, "random_split": "record"}))
    assert all(len(Store(store.path).split(name)) for name in PARTS)


@pytest.mark.parametrize("folds", [[1, 9, None], [1.0, 9.0, np.nan], ["1", "9", None], [1, 9, 10**12],
                                   [1, 9, -3], [1, 9, 1e300]])
def test_folds_are_numbers_of_any_type(folds):
    assert list(table_folds(pandas.DataFrame({"fold": folds}))) == [1, 9, 0]


@pytest.mark.parametrize("folds", [[1, 9.5, None], ["a", "b", "c"], [[1], [2], [3]], [1, np.inf, 2]])
def test_other_folds_are_refused(folds):
    with pytest.raises(ValueError, match="folds that are not whole numbers; wanted 1 to 10"):
        table_folds(pandas.DataFrame({"fold": folds}))
    assert table_folds(pandas.DataFrame({"name": ["a"]})) is None


def test_an_empty_column_of_splits_is_none(tmp_path):
    for index in range(3):
        write_wfdb(tmp_path / "in" / f"r{index}", np.ones((3, 1)), ("II",))
    labels = pandas.DataFrame({"split": ["", None, "NA"]}, index=["r0", "r1", "r2"])
    store = build_store(tmp_path / "in", tmp_path / "out", leads=("II",), labels=labels, workers=1)
    assert all(len(store.split(name)) == 1 for name in PARTS) and "at random by record" in store.remarks[0]
    store.records.assign(fold=[1, 9, 10]).to_parquet(store.path / "records.parquet")     # by the user, later
    store = Store(store.path)
    assert not store.remarks and [store.split(name).tolist() for name in PARTS] == [[0], [1], [2]]
