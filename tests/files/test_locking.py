"""A folder has one user at a time, and a process that dies leaves no lock."""

import os
import subprocess
import sys
import threading

import pytest

from ecgvae.files import lock_folder, locked_folder


def test_a_folder_is_locked_once_and_nothing_is_left(tmp_path):
    with locked_folder(tmp_path):
        for lock in (lock_folder, lambda folder: locked_folder(folder).__enter__()):
            with pytest.raises(OSError, match=f"^{tmp_path} is in use by another run$"):
                lock(tmp_path)
    assert not list(tmp_path.iterdir())
    with locked_folder(tmp_path):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = ("from pathlib import Path; from ecgvae.files import lock_folder\n"
            f"lock = lock_folder(Path({str(tmp_path)!r})); print('locked', flush=True); input()")
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(OSError, match="is in use by another run"):
            lock_folder(tmp_path)
        other.kill()
        other.wait()
    lock_folder(tmp_path).close()


def test_a_lock_that_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "lock")
    with pytest.raises(ValueError, match="lock is a named pipe; wanted a file or nothing"):
        lock_folder(tmp_path)


def test_of_many_threads_one_at_a_time_has_the_lock(tmp_path):
    """The file is deleted at the end of each turn; no two threads may hold locks on different files of that name."""
    inside, most = [], []

    def work():
        for _ in range(300):
            try:
                with locked_folder(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except OSError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most and max(most) == 1 and not list(tmp_path.iterdir())
