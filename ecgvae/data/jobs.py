"""Long jobs in parts, which several processes do in any order, so that an interrupted job can be continued."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ecgvae.files import lock_folder, remove, write_atomically

__all__ = ["Parts", "Progress", "available_cpus", "no_progress", "open_parts", "remove", "run_parallel",
           "write_atomically"]

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

Progress = Callable[[int, int], object]  # called with the number of records done and their total


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


class Parts:
    """A folder with the finished parts of one job. A part is a file or folder that is written atomically.

    The folder is locked until the end of the `with` statement.

    Args:
        folder: The folder. It is created if it does not exist.
        fingerprint: The settings and inputs of the job, as values for JSON.
        overwrite: Whether to delete the parts of another job.

    Raises:
        ValueError: The folder belongs to another job, or is not one of a job.
        OSError: Another run uses the folder.
    """

    def __init__(self, folder: str | Path, fingerprint: dict, overwrite: bool = False):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = self._acquire_lock()
        job = self.folder / "job.json"
        different = self._differences(json.loads(json.dumps(fingerprint)))
        if different and not overwrite:
            self._lock.close()
            raise ValueError(f"{self.folder} was started with other settings ({', '.join(different)}); "
                             "delete it or use --overwrite")
        self._clear("*" if different else "*.tmp")
        if not job.exists():
            write_atomically(job, lambda path: path.write_text(json.dumps(fingerprint, indent=1)))

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *exception: object) -> None:
        self._clear("*.tmp")  # unfinished files of workers that were stopped
        self._lock.close()

    def _clear(self, pattern: str) -> None:
        for path in self.folder.glob(pattern):
            if path.name != "lock":
                remove(path)

    def _acquire_lock(self) -> TextIO:
        """Locks the folder; ValueError if it has files that are not parts of a job."""
        others = {path.name for path in self.folder.iterdir() if path.suffix != ".tmp"} - {"lock"}
        if others and "job.json" not in others:
            raise ValueError(f"{self.folder} is in the way: it has files that are not parts of a job")
        return lock_folder(self.folder)

    def _differences(self, fingerprint: dict) -> list[str]:
        """Names of the settings that differ from those of the job that started the folder."""
        try:
            started = json.loads((self.folder / "job.json").read_text())
        except FileNotFoundError:
            return []
        except ValueError:
            return ["job.json is damaged"]
        return [key for key in sorted({*started, *fingerprint}) if started.get(key) != fingerprint.get(key)]

    def path(self, index: int) -> Path:
        """The path of a part, finished or not."""
        return self.folder / f"part-{index:06d}"

    def pending(self, count: int) -> list[int]:
        """The indices, below `count`, of the parts that are not finished."""
        return [index for index in range(count) if not self.path(index).exists()]

    def paths(self) -> list[Path]:
        """The paths of the finished parts, in order."""
        return sorted(path for path in self.folder.glob("part-*") if path.suffix != ".tmp")

    def remove(self) -> None:
        """Deletes the folder."""
        for path in self.folder.iterdir():
            if path.name != "job.json":  # deleted last, since a folder without it is refused as foreign
                remove(path)
        shutil.rmtree(self.folder)


def open_parts(out: Path, fingerprint: dict, overwrite: bool) -> Parts:
    """The parts of an output, in a folder next to it; those of an interrupted job are still there."""
    return Parts(out.with_name(out.name + ".partial"), fingerprint, overwrite)


def available_cpus() -> int:
    """Number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_parallel(function: Callable, arguments: list[tuple], workers: int) -> Generator:
    """Calls a function with each tuple of arguments and yields its results in the order of completion.

    With one worker the calls run in this process. More workers are new processes, which ignore Ctrl-C and end with
    this one. The first exception stops all calls. Close the generator if it is not exhausted.

    Raises:
        OSError: A worker process died.
    """
    if workers <= 1 or len(arguments) <= 1:
        yield from (function(*items) for items in arguments)
        return
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")  # a fork would inherit the state of this process's threads
    pool = ProcessPoolExecutor(min(workers, len(arguments)), spawn, _exit_with_parent)
    try:
        with _worker_environment():
            futures = [pool.submit(function, *items) for items in arguments]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise OSError("a worker process died: memory is short, or the calling script has no "
                      "`if __name__ == '__main__':`; try again with fewer workers") from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _worker_environment() -> Iterator[None]:
    """Processes that are started in this context have Ctrl-C blocked and use one thread for linear algebra."""
    before = {name: os.environ.get(name) for name in SINGLE_THREADED}
    os.environ.update(SINGLE_THREADED)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if hasattr(signal, "pthread_sigmask") else None
    try:
        with _defer_signals():
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _defer_signals() -> Iterator[None]:
    """Defers Ctrl-C and SIGTERM to the end of the context.

    A process that is just starting prints errors if its parent stops.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[tuple] = []
    handlers = {number: signal.signal(number, lambda *event: received.append(event))
                for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for number, _ in received[:1]:
            signal.raise_signal(number)


def _exit_with_parent() -> None:
    """Makes this worker end when its parent ends, even if the parent is killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
