"""The command extract: files of features, what is refused, and going on after an interruption."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import call, mistake
from pyarrow import parquet

import ecgvae
from ecgvae.batch import extract, job
from ecgvae.signal import find_records


@pytest.fixture
def arguments(records, model, tmp_path):
    return ("extract", records, "--model", model, "--out", tmp_path / "features.parquet")


def test_the_file_has_the_table_of_the_function(arguments, records, model, tmp_path):
    result = call(*arguments, "--layers", "layer2, latent", "--pool", "mean-std")
    table = pd.read_parquet(tmp_path / "features.parquet")
    wanted = ecgvae.extract(records, model, layers=["layer2", "latent"], pool="mean-std")
    pd.testing.assert_frame_equal(table.drop(columns="notes"), wanted.drop(columns="notes"), rtol=1e-4, atol=1e-5)
    assert [list(notes) for notes in table["notes"]] == wanted["notes"].tolist()
    assert table["record"].nunique() == len(find_records(records)) and "(layer2, latent of " in result.stdout
    about = json.loads(parquet.read_schema(tmp_path / "features.parquet").metadata[extract.METADATA_KEY.encode()])
    assert about["layers"] == ["layer2", "latent"] and about["identity"] == ecgvae.Tokenizer.load(model).identity


def test_arrays_are_those_of_the_table_without_pickles(arguments, tmp_path):
    call(*arguments)
    call(*arguments[:-1], tmp_path / "features.npz")
    table = pd.read_parquet(tmp_path / "features.parquet")
    arrays = np.load(tmp_path / "features.npz", allow_pickle=False)
    assert arrays["names"].tolist() == list(table)[4:] and arrays["record"].tolist() == table["record"].tolist()
    np.testing.assert_array_equal(arrays["features"], table.iloc[:, 4:].to_numpy())
    np.testing.assert_array_equal(arrays["end"], table["end"])
    assert json.loads(str(arrays["about"]))["pool"] == "stats"


def test_an_interrupted_job_goes_on(arguments, tmp_path, monkeypatch):
    call(*arguments)
    whole = pd.read_parquet(tmp_path / "features.parquet")
    monkeypatch.setattr(job, "PART_RECORDS", 1)
    write, written = extract.ExtractJob.write_part, []

    def interrupted(self, entries, folder):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(entries)
        write(self, entries, folder)

    again = (*arguments[:-1], tmp_path / "again.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(extract.ExtractJob, "write_part", interrupted)
        assert "run the same command again to go on" in call(*again, code=130).stderr
    assert "started with other settings (pool)" in mistake(*again, "--pool", "mean")
    monkeypatch.setattr(extract.ExtractJob, "write_part", lambda *args: (written.append(args[1]), write(*args)))
    call(*again)
    assert len(written) == 3
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again.parquet"), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("options", "message"), [
    (("--layers", "layer9"), "no layer 'layer9'; wanted some of layer1"), (("--layers", ","), "no layers; wanted"),
    (("--model", "nothing"), "nothing"), (("--out", "x.csv"), "wanted a name that ends in .parquet or .npz"),
    (("--out", "x"), "ends in nothing"), (("--lead-map", "Q=II"), "Q")])
def test_mistakes_end_in_one_line(arguments, options, message, tmp_path):
    assert message in mistake(*arguments, *options)
    assert not list(tmp_path.glob("features*"))


def test_an_existing_file_stays(arguments, tmp_path):
    (tmp_path / "features.parquet").write_text("mine")
    assert "exists; use --overwrite" in mistake(*arguments)
    call(*arguments, "--overwrite")
    assert len(pd.read_parquet(tmp_path / "features.parquet")) >= 3
