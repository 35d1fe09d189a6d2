import json
import os
import shutil

import numpy as np
import pandas
import pytest
from pyarrow import parquet
from scipy.signal import resample_poly
from stores import content, write_wfdb

from ecgvae.data import part
from ecgvae.data.prepare import build_store
from ecgvae.data.store import Store
from ecgvae.signal import LEADS_12


def reasons(store):
    listed = pandas.read_csv(store.path / "skipped.csv").query("kind == 'skipped'")
    return dict(listed[["path", "reason"]].to_numpy())


def test_store_holds_the_microvolts_of_the_files(source, tmp_path):
    stored = np.fromfile(source / "a" / "r2.dat", "<i2").reshape(-1, 12)
    store = build_store(source, tmp_path / "out", workers=1)
    assert store.records["name"].tolist() == ["a/r0", "a/r2", "a/r4", "b/r1", "b/r3"]
    assert store.records["length"].tolist() == [300, 400, 1000, 250, 120]
    np.testing.assert_array_equal(np.rint(store.signal(1) * 1000), stored.T)
    record = store.record(1)
    assert (record.name, record.rate, record.leads, record.comments) == ("a/r2", 100, LEADS_12, ("about r2",))
    assert store.signals.dtype == np.int16 and len(store) == 5 and not reasons(store)
    assert not (tmp_path / "out.partial").exists()


def test_leads_are_matched_by_name_and_derived_where_einthoven_gives_them(tmp_path):
    microvolts = np.random.default_rng(1).integers(-1000, 1000, (200, 3)) * 2
    write_wfdb(tmp_path / "in" / "r", microvolts, ("v1", "MLII", "lead i"))
    store = build_store(tmp_path / "in", tmp_path / "out", leads=("I", "aVR", "V1"), workers=1)
    v1, ii, i = microvolts.T
    np.testing.assert_array_equal(np.rint(store.signal(0) * 1000), [i, -(i + ii) // 2, v1])
    assert store.records["notes"][0].tolist() == ["aVR is missing, derived from others"]


def test_rates_are_converted_like_scipy(source, tmp_path):
    store = build_store(source, tmp_path / "out", rate=40, workers=1)
    x = np.fromfile(source / "a" / "r4.dat", "<i2").reshape(-1, 12) / 1000
    expected = resample_poly(x, 2, 5, axis=0, window=("kaiser", 5.0), padtype="edge").T
    row = store.records.query("name == 'a/r4'").iloc[0]
    np.testing.assert_allclose(store.signal(row.name), expected, atol=6e-4)
    assert (row["rate"], row["samples"], row["length"]) == (100, 1000, 400)


def test_windows_are_consecutive_and_what_is_left_out_is_noted(source, tmp_path):
    whole = build_store(source, tmp_path / "whole", workers=1)
    store = build_store(source, tmp_path / "out", window=1.5, workers=1)
    rows = store.records[store.records["name"] == "a/r2"]
    assert rows["start"].tolist() == [0, 150] and rows["length"].tolist() == [150, 150]
    np.testing.assert_array_equal(np.hstack([store.signal(i) for i in rows.index]), whole.signal(1)[:, :300])
    assert rows["notes"].map(list).tolist() == [["last 1.00 s left out, shorter than a window"], []]
    short = store.records[store.records["name"] == "b/r3"]
    assert short["length"].tolist() == [120] and not len(short["notes"].iloc[0])
    assert store.manifest["samples"] == len(store.signals) == store.records["length"].sum()


def test_gaps_and_clipping_are_noted(tmp_path):
    stored = np.zeros((100, 12), int) + np.arange(12)
    stored[10:13, 6] = -32768
    stored[:, 1] = 20000
    write_wfdb(tmp_path / "in" / "r", stored, gain=500)
    store = build_store(tmp_path / "in", tmp_path / "out", workers=1)
    notes = store.records["notes"][0].tolist()
    assert "V1: 0.03 s missing from 0.10 s, bridged" in notes
    assert "II: 100 samples clipped at 32.767 mV" in notes
    assert store.signals[:, 1].min() == 32767 and (store.signals[:, 6] == 12).all()


def test_unusable_records_are_listed_and_the_rest_is_done(source, tmp_path):
    write_wfdb(source / "two", np.zeros((50, 2)), ("MLII", "V5"))
    write_wfdb(source / "short", np.zeros((50, 12)))
    (source / "short.dat").write_bytes(b"\0" * 100)
    (source / "garbage.hea").write_bytes(os.urandom(3000))
    (source / "empty.hea").write_bytes(b"")
    (source / "folder.hea").mkdir()
    write_wfdb(source / "outside", np.zeros((50, 12)))
    header = (source / "outside.hea").read_text()
    (source / "outside.hea").write_text(header.replace("outside.dat", "../outside.dat"))
    (source / "nodata.hea").write_text(header.replace("outside", "nodata"))
    store = build_store(source, tmp_path / "out", workers=1)
    assert len(store) == 5
    found = reasons(store)
    assert set(found) >= {"two", "short", "garbage", "empty", "outside", "nodata"}
    assert "MLII, V5" in found["two"]
    assert store.manifest["skipped"] == len(found)
    assert build_store(source, tmp_path / "zero", missing="zero", workers=1).records["name"].isin(["two"]).any()


def test_names_that_print_badly_do_no_harm(source, tmp_path):
    bad = os.fsdecode(b"b\xffd")
    shutil.copy(source / "a" / "r0.hea", source / f"{bad}.hea")
    (source / "new\nline.hea").write_text("x")
    store = build_store(source, tmp_path / "out", workers=1)
    assert len(store) == 5 and len(reasons(store)) == 2


def test_an_error_that_nobody_foresaw_skips_one_record(source, tmp_path, monkeypatch):
    opened = part.open_record
    monkeypatch.setattr(part, "open_record", lambda path: {}[path] if path.name == "r4" else opened(path))
    store = build_store(source, tmp_path / "out", workers=1)
    assert len(store) == 4 and reasons(store)["a/r4"].startswith("KeyError: ")


def test_a_record_that_fails_half_way_leaves_nothing_behind(source, tmp_path, monkeypatch):
    stream = part.conform_stream

    def breaks(record, *arguments, **options):
        yield from stream(record, *arguments, **options)
        if record.name == "r2":
            raise OSError("disk went away")

    monkeypatch.setattr(part, "conform_stream", breaks)
    store = build_store(source, tmp_path / "out", workers=1)
    assert reasons(store) == {"a/r2": "disk went away"}
    stored = np.fromfile(source / "a" / "r4.dat", "<i2").reshape(-1, 12)
    np.testing.assert_array_equal(np.rint(store.signal(1) * 1000), stored.T)


def test_doubled_names_are_listed(source, tmp_path):
    path = source / "a" / "r0"
    store = build_store(source, tmp_path / "out", records=[path, path, source / "gone"], workers=1)
    assert store.records["name"].tolist() == ["a/r0"]
    assert "the name a/r0 is already that of" in reasons(store)[str(path)] and "gone" in reasons(store)


def test_nothing_usable_leaves_nothing(tmp_path):
    write_wfdb(tmp_path / "in" / "r", np.zeros((50, 2)), ("MLII", "V5"))
    with pytest.raises(ValueError, match="^none of 1 records .* r has leads MLII, V5; .*$"):
        build_store(tmp_path / "in", tmp_path / "out", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_exists_is_kept_unless_it_is_a_store_to_overwrite(source, tmp_path):
    out = tmp_path / "out"
    build_store(source, out, workers=1)
    before = content(out)
    with pytest.raises(FileExistsError, match="exists; use --overwrite"):
        build_store(source, out, rate=50, workers=1)
    assert content(out) == before
    assert build_store(source, out, rate=50, workers=1, overwrite=True).rate == 50
    (tmp_path / "other" / "mine").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="not a store"):
        build_store(source, tmp_path / "other", workers=1, overwrite=True)
    (tmp_path / "third.partial").mkdir()
    (tmp_path / "third.partial" / "mine").write_text("precious")
    with pytest.raises(ValueError, match="in the way"):
        build_store(source, tmp_path / "third", workers=1, overwrite=True)
    assert (tmp_path / "third.partial" / "mine").exists()


@pytest.mark.parametrize("options, message", [
    ({"rate": 0}, "a rate of 0 Hz"), ({"rate": float("nan")}, "nan Hz"), ({"leads": ()}, "one or more"),
    ({"leads": ("I", "i")}, "each once"), ({"missing": "guess"}, "error or zero"), ({"window": 0}, "window"),
    ({"window": 1e308}, "window"), ({"window": 10**400}, "window"), ({"rate": 10**400}, "rate"),
    ({"rate": "100"}, "a rate of '100' Hz"), ({"rate": None}, "a rate of None Hz"), ({"leads": 12}, "leads 12; wanted"),
    ({"leads": ("I", 2)}, "leads .*; wanted names"), ({"leads": "I,i"}, "standard-12"), ({"window": "10"}, "window"),
    ({"workers": 1.5}, "1.5 workers; wanted a number"), ({"workers": -1}, "-1 workers; wanted a number"),
    ({"labels": [1]}, "labels are a list"), ({"lead_map": "II"}, "lead map 'II'"),
])
def test_senseless_options_are_refused_in_one_line(source, tmp_path, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        build_store(source, tmp_path / "out", **{"workers": 1, **options})
    assert "\n" not in str(caught.value) and not (tmp_path / "out.partial").exists()


def test_what_is_no_path_is_refused_in_one_line(source, tmp_path):
    with pytest.raises(ValueError, match="^the source is 5; wanted a path$"):
        build_store(5, tmp_path / "out")
    with pytest.raises(ValueError, match="^the output is None; wanted a path$"):
        build_store(source, None)


def test_leads_may_be_a_text(source, tmp_path):
    assert build_store(source, tmp_path / "out", leads="ii,C1", workers=1).leads == ("II", "V1")


def test_labels_join_by_name(source, tmp_path):
    labels = pandas.DataFrame(
        {"fold": [3, 9], "age": [50, None], "superclass": [["MI", "CD"], []]}, index=["a/r0", "b/r1"]
    )
    store = build_store(source, tmp_path / "out", labels=labels, workers=1)
    records = store.records.set_index("name")
    assert records.loc["a/r0", "superclass"].tolist() == ["MI", "CD"]
    assert records["fold"].dropna().to_dict() == {"a/r0": 3, "b/r1": 9} and records["age"].count() == 1
    assert records["fold"].dtype == "Int64"
    assert str(parquet.read_schema(store.path / "records.parquet").field("notes").type.value_type) == "string"
    assert store.split("train").tolist() == [0] and store.split("validation").tolist() == [3]
    assert not len(store.split("test")) and len(store.split("all")) == 5
    with pytest.raises(ValueError, match="several rows for a/r0"):
        build_store(source, tmp_path / "b", labels=labels.set_axis(["a/r0", "a/r0"]), workers=1)
    with pytest.raises(ValueError, match="columns rate"):
        build_store(source, tmp_path / "b", labels=labels.rename(columns={"age": "rate"}), workers=1)


def test_without_folds_patients_are_split_whole(tmp_path):
    for index in range(150):
        write_wfdb(tmp_path / "in" / f"r{index:03d}", np.zeros((3, 1)), ("II",))
    names = [f"r{index:03d}" for index in range(150)]
    labels = pandas.DataFrame({"patient": [index // 3 for index in range(120)]}, index=names[:120])
    store = build_store(tmp_path / "in", tmp_path / "out", leads=("II",), labels=labels, workers=1)
    parts = {name: store.split(name) for name in ("train", "validation", "test")}
    assert sorted(np.concatenate(list(parts.values()))) == list(range(150))
    train = {row // 3 for row in parts["train"] if row < 120}
    assert not train & {row // 3 for row in (*parts["test"], *parts["validation"])}
    assert 15 < sum(parts["train"] >= 120) < 30  # those of no patient go one by one
    assert 100 < len(parts["train"]) < 140 and len(parts["test"]) and len(parts["validation"])
    with pytest.raises(ValueError, match="wanted train, validation, test or all"):
        store.split("dev")


def spoil_manifest(out):
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))


def spoil_records(out, columns):
    pandas.DataFrame(columns).to_parquet(out / "records.parquet")


@pytest.mark.parametrize("damage, message", [
    (lambda out: (out / "manifest.json").write_text("[]"), "not an ecgvae store"),
    (lambda out: (out / "manifest.json").write_bytes(b"\xff\0"), "not an ecgvae store"),
    (lambda out: (out / "manifest.json").unlink(), "not an ecgvae store"),
    (spoil_manifest, "store format 99"),
    (lambda out: os.truncate(out / "signals.npy", 1000), "damaged: signals.npy"),
    (lambda out: os.truncate(out / "signals.npy", 0), "damaged: signals.npy"),
    (lambda out: (out / "signals.npy").unlink(), "damaged: signals.npy"),
    (lambda out: np.save(out / "signals.npy", np.zeros((2070, 12), np.int32)), "int32"),
    (lambda out: os.truncate(out / "records.parquet", 500), "damaged: records.parquet"),
    (lambda out: (out / "records.parquet").unlink(), "damaged: records.parquet"),
    (lambda out: spoil_records(out, {"name": "r", "offset": [2000], "length": 100}), "beyond"),
    (lambda out: spoil_records(out, {"offset": [2000]}), "damaged: records.parquet: no columns length, name"),
])
def test_a_damaged_store_is_refused_in_one_line(source, tmp_path, damage, message):
    out = tmp_path / "out"
    build_store(source, out, workers=1)
    damage(out)
    with pytest.raises(ValueError, match=message) as caught:
        Store(out).signal(0)
    assert "\n" not in str(caught.value)


def test_a_store_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="nowhere is not there"):
        Store("nowhere")
    with pytest.raises(ValueError, match="^5 is not a path; wanted the folder of a store$"):
        Store(5)


def test_a_store_is_one_line(source, tmp_path):
    store = build_store(source, tmp_path / "out", workers=1)
    assert repr(store) == f"Store('{tmp_path / 'out'}', 5 rows, 12 leads at 100 Hz)"


def test_a_store_of_an_earlier_version_has_its_leads_in_their_spelling_of_today(source, tmp_path):
    out = build_store(source, tmp_path / "out", leads=("V1", "V2"), workers=1).path
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "leads": ["C1", "V2"]}))
    assert Store(out).leads == ("V1", "V2")
    (out / "manifest.json").write_text(json.dumps({**manifest, "leads": ["C1", "V1"]}))
    assert Store(out).leads == ("C1", "V1")


def test_every_odd_form_is_stored_or_listed(data, tmp_path):
    store = build_store(data / "wfdb-odd", tmp_path / "out", leads=("II", "V5"), missing="zero", workers=1)
    assert len(store) + store.manifest["skipped"] > 15 and len(store) >= 10
    assert all("\n" not in reason for reason in reasons(store).values())


def test_the_former_way_to_open_a_store_still_works(store):
    with pytest.deprecated_call(match="is now Store"):
        assert Store.open(store).fingerprint == Store(store).fingerprint
