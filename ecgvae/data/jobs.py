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

SINGLE_THREADED = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Parts:
    """The finished parts of one job, each a file or a folder that appears whole, by renaming.

    `fingerprint` says what the job is (JSON values); a folder begun for another job is refused,
    or emptied with `overwrite`. One process creates it; it can be sent to others.
    """

    def __init__(self, folder: str | Path, fingerprint: dict, overwrite: bool = False):
        self.folder = Path(folder)
        job = self.folder / "job.json"
        if overwrite and self.folder.exists() and _differences(job, fingerprint):
            shutil.rmtree(self.folder)
        if self.folder.exists() and (different := _differences(job, fingerprint)):
            raise ValueError(f"{self.folder} was begun with other settings ({', '.join(different)}); "
                             "delete it or use --overwrite")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not job.exists():
            replace(job, lambda path: path.write_text(json.dumps(fingerprint, indent=1)))
        for unfinished in self.folder.glob("*.tmp"):
            remove(unfinished)

    def path(self, index: int) -> Path:
        return self.folder / f"part-{index:06d}"

    def pending(self, count: int) -> list[int]:
        return [index for index in range(count) if not self.path(index).exists()]

    def save(self, index: int, write: Callable[[Path], object]) -> None:
        replace(self.path(index), write)

    def paths(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("part-*") if path.suffix != ".tmp")


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file or folder under a temporary name, then rename it to `path`."""
    temporary = path.with_name(path.name + ".tmp")
    remove(temporary)
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


def remove(path: Path) -> None:
    """Delete a file or a folder tree, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _differences(job: Path, fingerprint: dict) -> list[str]:
    """Names of the settings in which a job file differs from `fingerprint`."""
    try:
        begun = json.loads(job.read_text())
    except FileNotFoundError:
        # a folder with nothing in it was interrupted before it began
        return ["job.json is missing"] if any(job.parent.glob("[!.]*")) else []
    except ValueError:
        return ["job.json is damaged"]
    wanted = json.loads(json.dumps(fingerprint))
    return [key for key in sorted({*begun, *wanted}) if begun.get(key) != wanted.get(key)]


def available_cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(function: Callable, arguments: list[tuple], workers: int) -> Iterator:
    """Call `function` with each tuple of arguments and yield what it returns, in the order of completion.

    With one worker the calls happen here; otherwise in fresh processes, which end when this one does and
    leave Ctrl-C to it. The first exception stops the rest.
    """
    if workers <= 1 or len(arguments) <= 1:
        yield from (function(*items) for items in arguments)
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(workers, len(arguments)), multiprocessing.get_context("spawn"), _obey_parent)
    try:
        with _workers_inherit():
            futures = [pool.submit(function, *items) for items in arguments]
        for future in as_completed(futures):
            yield future.result()
    except BrokenProcessPool as error:
        raise OSError("a worker process ended before its work (out of memory, or a script that starts workers "
                      "outside `if __name__ == '__main__':`); run again to go on") from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _workers_inherit() -> Iterator[None]:
    """Start processes with Ctrl-C blocked (the parent ends them) and with one thread each for linear algebra."""
    before = {name: os.environ.get(name) for name in SINGLE_THREADED}
    os.environ.update(SINGLE_THREADED)
    blocks = hasattr(signal, "pthread_sigmask")
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else None
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _obey_parent() -> None:
    """End this worker when its parent is gone: a killed parent can't tell it to."""
    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()
