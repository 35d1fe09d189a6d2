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
