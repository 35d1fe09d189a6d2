"""Preparing a store, stopped in every way: it goes on where it was and gives the same bytes."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from stores import content

from ecgvae.data import prepare
from ecgvae.data.prepare import build_store


def test_interrupted_it_goes_on_and_gives_the_same_bytes(source, tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "BATCH_RECORDS", 1)
    unbroken = build_store(source, tmp_path / "a", workers=2)
    done = []

    def interrupt(count, total):
        done.append(count)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(source, tmp_path / "b", workers=1, progress=interrupt)
    assert not (tmp_path / "b").exists() and done == [0, 1, 2]
    resumed = build_store(source, tmp_path / "b", workers=1, progress=lambda count, total: done.append(count))
    assert done == [0, 1, 2, 2, 3, 4, 5]
    assert content(resumed.path) == content(unbroken.path)


def test_interrupted_while_joining_it_goes_on(source, tmp_path, monkeypatch):
    unbroken = build_store(source, tmp_path / "a", workers=1)
    with monkeypatch.context() as patch:
        patch.setattr("ecgvae.data.merge.write_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_store(source, tmp_path / "b", workers=1)
    assert content(build_store(source, tmp_path / "b", workers=1).path) == content(unbroken.path)


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from ecgvae.data import prepare
prepare.BATCH_RECORDS = 1
def stop(done, total):
    if done == 2:
        print(*[line.split()[0] for line in os.popen(f"ps -o pid= --ppid {os.getpid()}")], flush=True)
        os.killpg(0, signal.SIGINT) if sys.argv[3] == "INT" else os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(5)
if __name__ == "__main__":
    try:
        prepare.build_store(sys.argv[1], sys.argv[2], workers=2, progress=stop)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("name, code", [("INT", 130), ("KILL", -signal.SIGKILL)])
def test_stopped_from_outside_no_worker_stays_or_complains(source, tmp_path, monkeypatch, name, code):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, script, source, tmp_path / "out", name], start_new_session=True, capture_output=True,
        text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == code and "Traceback" not in done.stderr
    assert name == "KILL" or done.stderr == ""  # of a killed process Python itself says something
    workers = done.stdout.split()
    assert len(workers) >= 2 and not any(alive(worker) for worker in workers)
    assert not (tmp_path / "out").exists() and len(list((tmp_path / "out.partial").glob("part-*"))) >= 2
    monkeypatch.setattr(prepare, "BATCH_RECORDS", 1)
    resumed = build_store(source, tmp_path / "out", workers=1)
    assert content(resumed.path) == content(build_store(source, tmp_path / "unbroken", workers=1).path)


def alive(process):
    """Whether a process is still at work a moment later."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        signal.sigtimedwait([], 0.1)
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_error_and_can_be_gone_on_from(source, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(prepare, "BATCH_RECORDS", 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
    try:
        with pytest.raises(OSError, match="File too large: '.*out.partial/part-") as caught:
            build_store(source, tmp_path / "out", workers=workers)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()
    assert not list(tmp_path.glob("**/*.tmp"))
    assert len(build_store(source, tmp_path / "out", workers=1)) == 5


def test_parts_of_an_earlier_version_are_joined(source, tmp_path, monkeypatch):
    """Rows of earlier versions have no date and no leads."""
    with monkeypatch.context() as patch:
        patch.setattr("ecgvae.data.merge.write_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build_store(source, tmp_path / "out", workers=1)
    for path in (tmp_path / "out.partial").glob("part-*/rows.json"):
        part = json.loads(path.read_text())
        for row in part["rows"]:
            del row["start_time"], row["source_leads"]
        path.write_text(json.dumps(part))
    store = build_store(source, tmp_path / "out", workers=1)
    assert len(store) == 5 and store.record(0).start_time is None and store.source_leads(0) == store.leads
