"""Lead maps in stores and collections."""

import json

import numpy as np
import pytest
from stores import content, write_store, write_wfdb

from ecgvae.data.collection import Collection
from ecgvae.data.prepare import build_store

MAP = {"ECG 1": "I", "ecg 2": "II"}


@pytest.fixture
def channels(tmp_path):
    """Two records whose channels are called ECG 1 and ECG 2, and one with other names."""
    stored = np.random.default_rng(0).integers(-900, 900, (3, 50, 2))
    for index, names in enumerate((("ECG 1", "ECG 2"), ("ECG 2", "ECG 1"), ("II", "I"))):
        write_wfdb(tmp_path / "in" / f"r{index}", stored[index], names)
    return tmp_path / "in", stored


def test_channels_become_leads_by_the_map_else_by_their_names(channels, tmp_path):
    folder, stored = channels
    store = build_store(folder, tmp_path / "out", leads=("I", "II"), lead_map=MAP, workers=1)
    assert store.manifest["skipped"] == 0 and store.manifest["lead_map"] == {"ECG 1": "I", "ecg 2": "II"}
    for index, order in enumerate(([0, 1], [1, 0], [1, 0])):
        np.testing.assert_array_equal(np.rint(store.signal(index) * 1000), stored[index].T[order])
    assert build_store(folder, tmp_path / "b", leads=("I", "II"), workers=1).manifest["skipped"] == 2


def test_several_processes_give_the_same(channels, tmp_path, monkeypatch):
    monkeypatch.setattr("ecgvae.data.prepare.BATCH_RECORDS", 1)
    stores = [build_store(channels[0], tmp_path / str(count), leads="I,II", lead_map=MAP, workers=count)
              for count in (1, 2)]
    assert content(stores[0].path) == content(stores[1].path)


def test_a_map_of_no_record_is_refused_before_any_work(channels, tmp_path):
    message = "^no record has a channel MLII, which the lead map names; the first, r0, has ECG 1, ECG 2$"
    with pytest.raises(ValueError, match=message):
        build_store(channels[0], tmp_path / "out", leads=("I", "II"), lead_map={"MLII": "II"}, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    with pytest.raises(ValueError, match="lead map has 'a' for 1"):
        build_store(channels[0], tmp_path / "out", lead_map={"a": 1})


def test_a_map_belongs_to_the_job_only_where_there_is_one(channels, tmp_path):
    def interrupt(done, total):
        raise KeyboardInterrupt

    def begin(**options):
        with pytest.raises(KeyboardInterrupt):
            build_store(channels[0], tmp_path / "out", leads=("I", "II"), workers=1, progress=interrupt, **options)
        return json.loads((tmp_path / "out.partial" / "job.json").read_text())

    assert begin().keys() == begin(lead_map={}).keys() == {"leads", "rate", "window", "missing", "records"}
    with pytest.raises(ValueError, match=r"started with other settings \(lead_map\)"):
        build_store(channels[0], tmp_path / "out", leads=("I", "II"), workers=1, lead_map=MAP)
    assert begin(lead_map=MAP, overwrite=True)["lead_map"] == MAP


def test_a_collection_refuses_a_map_of_none_of_its_records(channels, tmp_path):
    write_store(tmp_path / "store", np.zeros((1, 2, 9)), ("I", "II"), name=["s"])
    collection = Collection([channels[0], tmp_path / "store"])
    collection.check_lead_map({"ecg 1": "V1"})
    collection.check_lead_map({"II": "V1"})
    with pytest.raises(ValueError, match="^no record has a channel ECG 3, which the lead map names; the first, "):
        collection.check_lead_map({"ECG 3": "V1"})
