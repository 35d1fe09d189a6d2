"""The tables of a run: rows, columns, and logs of earlier versions."""

import math

import pytest

from ecgvae.training.log import Log, Table

FORMER = """step,loss,prdn,derivative,evenness,perplexity,gradient
1,0.24675214290618896,-0.11269810795783997,0.08466820418834686,0.03509834408760071,142.19895935058594,1.8971362113952637
5,0.23860596120357513,-0.13659703731536865,0.06654608994722366,0.03685484081506729,136.2834930419922,2.5022263526916504
10,0.2654740512371063,-0.1102454662322998,0.08277437090873718,0.03674420714378357,154.04721069335938,2.9915592670440674
"""


def test_an_incomplete_last_row_is_removed(tmp_path):
    path = tmp_path / "log.csv"
    table = Table(path, 0)
    for step in (1, 10, 20):
        table.append({"step": step, "loss": step / 7})
    whole = path.read_text()
    for incomplete in ("3", "30", "30,4", "1"):
        path.write_text(whole + incomplete)
        reopened = Table(path, 25)
        assert path.read_text() == whole and reopened.last_row == {"loss": 20 / 7}
    Table(path, 10).append({"step": 20, "loss": 20 / 7})
    assert path.read_text() == whole
    for beginning in ("", "step", "step,loss\n"):
        path.write_text(beginning)
        assert Table(path, 25).last_row == {}
        Table(path, 25).append({"step": 1, "loss": 0.5})
        assert path.read_text() == "step,loss\n1,0.5\n"


def test_a_row_with_other_columns_is_refused(tmp_path):
    table = Table(tmp_path / "log.csv", 0)
    table.append({"step": 1, "loss": 0.5, "kl": 2.0})
    table.append({"step": 2, "kl": 3.0, "loss": 0.25})       # the order of the columns is the first row's
    before = table.path.read_text()
    assert before == "step,loss,kl\n1,0.5,2.0\n2,0.25,3.0\n"
    for opened in (table, Table(table.path, 2)):
        for others in ({}, {"nll": 2.0}, {"kl": 2.0, "nll": 1.0}):
            with pytest.raises(ValueError, match="log.csv has columns step, loss, kl; this run logs step, loss"):
                opened.append({"step": 3, "loss": 0.5, **others})
    assert table.path.read_text() == before


def test_a_log_of_an_earlier_version_is_converted_once(tmp_path):
    """The first lines of a log.csv that an earlier version wrote; its relative errors are logarithms."""
    path = tmp_path / "log.csv"
    path.write_text(FORMER + "15,0.2")
    log = Log(tmp_path, 5)
    log.close()
    header, first, second = path.read_text().splitlines()
    assert header == "step,loss,prdn,derivative,usage_loss,perplexity,gradient,learning_rate"
    for line, former in zip((first, second), FORMER.splitlines()[1:3], strict=True):
        values, expected = line.split(","), former.split(",")
        assert [values[i] for i in (0, 1, 4, 5, 6)] == [expected[i] for i in (0, 1, 4, 5, 6)] and values[7] == ""
        for column in (2, 3):
            assert float(values[column]) == pytest.approx(100 * math.exp(float(expected[column])), rel=1e-12)
    log = Log(tmp_path, 5)
    values = {"loss": 0.3, "prdn": 80.0, "derivative": 100.0, "usage_loss": 0.04, "perplexity": 9.0, "gradient": 1.0}
    log.training(10, values | {"learning_rate": 0.004}, every=5)
    log.close()
    assert path.read_text().splitlines() == [header, first, second, "10,0.3,80.0,100.0,0.04,9.0,1.0,0.004"]


def test_a_log_of_an_earlier_version_without_rows_is_converted(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss,prdn\n1,")
    Log(tmp_path, 5).close()
    assert (tmp_path / "log.csv").read_text() == "step,loss,prdn,learning_rate\n"


@pytest.mark.parametrize("text", ["step,loss\n1\n", "step,loss\n1,2,3\n", "step,loss\nx,2\n", "step,loss\n1,text\n",
                                  "loss,step\n1,2\n", "step,loss\n-1,2\n", "step,loss\nnan,2\n", "\n1,2\n",
                                  "step,loss\n1,2\n" + "9" * 9999 + ",2\n", "step,loss\n1e3,2\n"])
def test_a_damaged_log_is_named_with_its_line(tmp_path, text):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=r"log.csv is damaged in line [23]; wanted a step and numbers$"):
        Log(tmp_path, 5)


def test_a_log_that_is_no_text(tmp_path):
    (tmp_path / "log.csv").write_bytes(b"step,loss\n\xff,2\n")
    with pytest.raises(ValueError, match="log.csv is damaged: it is not a text in UTF-8"):
        Log(tmp_path, 5)


def test_losses_of_a_former_log_do_not_overflow(tmp_path):
    (tmp_path / "log.csv").write_text("step,loss,prdn\n1,2,1e9\n2,2,\n")
    Log(tmp_path, 5).close()
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "step,loss,prdn,learning_rate" and lines[2] == "2,2,,"
    assert 1e305 < float(lines[1].split(",")[2]) < float("inf")


@pytest.mark.parametrize("call", ["add_scalar", "flush", "close"])
def test_a_full_disk_names_the_folder(tmp_path, monkeypatch, call):
    def fill(*_):
        raise OSError(28, "No space left on device")

    log = Log(tmp_path, 0)
    monkeypatch.setattr(log.board, call, fill)
    with pytest.raises(OSError, match="No space left on device") as error:
        log.training(1, {"loss": 1.0}, 1)
        log.flush()
        log.close()
    assert error.value.filename == str(tmp_path / "tensorboard")
