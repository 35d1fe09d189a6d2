"""Long jobs in parts: done in any order by several processes, taken up again after any interruption."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows, where two runs at once aren't noticed
    fcntl = None

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Parts:
    """The finished parts of one job in a folder of their own, each a file or folder that appears whole.

    `fingerprint` says in JSON values what the job is. A folder begun for another job is a ValueError, or is
    emptied with `overwrite`; one that another run works in is an OSError. Use it in a `with` statement: the
    folder is free for other runs afterwards.
    """

    def __init__(self, folder: str | Path, fingerprint: dict, overwrite: bool = False):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        job = self.folder / "job.json"
        different = self._differences(json.loads(json.dumps(fingerprint)))
        if different and not overwrite:
            self._lock.close()
            raise ValueError(f"{self.folder} was begun with other settings ({', '.join(different)}); "
                             "delete it or use --overwrite")
        self._clear("*" if different else "*.tmp")
        if not job.exists():
            write_atomically(job, lambda path: path.write_text(json.dumps(fingerprint, indent=1)))

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *exception: object) -> None:
        self._clear("*.tmp")    # of workers that were stopped
        self._lock.close()

    def _clear(self, names: str) -> None:
        for path in self.folder.glob(names):
            if path.name != "lock":
                remove(path)

    def _locked(self):
        """An open file that no other run can lock; the lock ends with the process, however it ends."""
        others = {path.name for path in self.folder.iterdir() if path.suffix != ".tmp"} - {"lock"}
        if others and "job.json" not in others:
            raise ValueError(f"{self.folder} is in the way: it holds no unfinished work but other files")
        lock = open(self.folder / "lock", "w")
        try:
            if fcntl:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise OSError(f"{self.folder} is in use by another run") from None
        return lock

    def _differences(self, fingerprint: dict) -> list[str]:
        """Names of the settings with which the folder was begun otherwise."""
        try:
            begun = json.loads((self.folder / "job.json").read_text())
        except FileNotFoundError:
            return []
        except ValueError:
            return ["job.json is damaged"]
        return [key for key in sorted({*begun, *fingerprint}) if begun.get(key) != fingerprint.get(key)]

    def path(self, index: int) -> Path:
        return self.folder / f"part-{index:06d}"

    def pending(self, count: int) -> list[int]:
        """Which of `count` parts are still to be done."""
        return [index for index in range(count) if not self.path(index).exists()]

    def save(self, index: int, write: Callable[[Path], object]) -> None:
        """Make part `index` of what `write` leaves at the path it is given."""
        write_atomically(self.path(index), write)

    def paths(self) -> list[Path]:
        """The finished parts in order."""
        return sorted(path for path in self.folder.glob("part-*") if path.suffix != ".tmp")

    def remove(self) -> None:
        """Delete the folder: the job is done."""
        for path in self.folder.iterdir():
            if path.name != "job.json":  # the last to go, or what is left would be nobody's
                remove(path)
        shutil.rmtree(self.folder)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file or folder under a temporary name, then rename it to `path`."""
    temporary = path.with_name(path.name + ".tmp")
    remove(temporary)
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        remove(temporary)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            error.filename = str(path)  # a full disk doesn't say which one
        raise


def remove(path: Path) -> None:
    """Delete a file or a folder tree, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def available_cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_parallel(function: Callable, arguments: list[tuple], workers: int) -> Iterator:
    """Call `function` with each tuple of arguments and yield what it returns, in the order of completion.

    With one worker the calls happen here; otherwise in fresh processes, which leave Ctrl-C to this one and
    end when it does. The first exception stops the rest. Close the iterator if it isn't used up.
    """
    if workers <= 1 or len(arguments) <= 1:
        yield from (function(*items) for items in arguments)
        return
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit the state of this process's threads
    pool = ProcessPoolExecutor(min(workers, len(arguments)), spawn, _obey_parent)
    try:
        with _inherited_by_workers():
            futures = [pool.submit(function, *items) for items in arguments]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise OSError("a worker process ended before its work: memory is short, or the calling script has no "
                      "`if __name__ == '__main__':`; try again with fewer workers") from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _inherited_by_workers() -> Iterator[None]:
    """Start processes with Ctrl-C blocked and a single thread for linear algebra."""
    before = {name: os.environ.get(name) for name in SINGLE_THREADED}
    os.environ.update(SINGLE_THREADED)
    blocks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else None
    try:
        with _signals_put_off():
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait: a process that is being started complains if its parent stops meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    handlers = {number: signal.signal(number, lambda *event: came.append(event))
                for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number, _ in came[:1]:
            signal.raise_signal(number)


def _obey_parent() -> None:
    """End this worker when its parent is gone, for a killed parent can't tell it to."""
    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()
