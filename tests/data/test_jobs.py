"""Jobs in parts: what an interruption leaves, and the processes that do them."""

import os
import signal
import time

import pytest

from ecgvae.data.jobs import Parts, run_parallel
from ecgvae.files import write_atomically


def test_other_settings_or_another_run_are_refused(tmp_path):
    folder = tmp_path / "job"
    parts = Parts(folder, {"rate": 100, "leads": ("I", "II")})
    with pytest.raises(OSError, match="in use"):
        Parts(folder, {"rate": 100, "leads": ("I", "II")})
    write_atomically(parts.path(1), lambda path: path.write_text("one"))
    (folder / "part-000002.tmp").write_text("half")
    with parts:
        pass
    with Parts(folder, {"rate": 100, "leads": ("I", "II")}) as again:
        assert again.pending(3) == [0, 2] and [path.read_text() for path in again.paths()] == ["one"]
    with pytest.raises(ValueError, match=r"other settings \(rate\)"):
        Parts(folder, {"rate": 50, "leads": ("I", "II")})
    with Parts(folder, {"rate": 50, "leads": ("I", "II")}, overwrite=True) as other:
        assert other.pending(3) == [0, 1, 2]
    (folder / "job.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        Parts(folder, {"rate": 50})


def test_a_removal_that_is_interrupted_can_be_repeated(tmp_path, monkeypatch):
    with Parts(tmp_path / "job", {"rate": 100}) as parts:
        write_atomically(parts.path(0), lambda path: path.mkdir())
        monkeypatch.setattr("shutil.rmtree", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            parts.remove()
    monkeypatch.undo()
    with Parts(tmp_path / "job", {"rate": 100}) as parts:
        parts.remove()
    assert not list(tmp_path.iterdir())


def test_replace_leaves_the_old_file_where_writing_fails(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_atomically(path, lambda temporary: temporary.write_text(str(1 / 0)))
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


FACTS = """(lambda os, sys, signal, prepare: (
    os.getpid(), os.environ["OMP_NUM_THREADS"], "torch" in sys.modules,
    signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
))(*map(__import__, ("os", "sys", "signal", "ecgvae.data.prepare")))"""


def test_workers_are_processes_without_torch_with_one_thread_and_deaf_to_ctrl_c(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = list(run_parallel(eval, [(FACTS,)] * 3, workers=2))
    assert [facts[1:] for facts in found] == [("1", False, True)] * 3
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert os.getpid() not in {facts[0] for facts in found} and os.environ["OMP_NUM_THREADS"] == "3"


def test_workers_are_stopped_when_nobody_waits_for_them():
    begin = time.monotonic()
    results = run_parallel(time.sleep, [(0,), (60,), (60,), (60,)], workers=2)
    next(results)
    results.close()
    assert time.monotonic() - begin < 30


def test_a_worker_that_dies_is_an_error():
    with pytest.raises(OSError, match="worker process died"):
        list(run_parallel(os._exit, [(3,), (3,)], workers=2))
