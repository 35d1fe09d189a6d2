"""Only regular files are read, and whatever they hold gives values or an error in one line."""

import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgvae.files import check_free, check_regular, read_json, read_regular_file, special_kind


@pytest.fixture(params=["a folder", "a named pipe", "a socket", "a device"])
def special(request, tmp_path, monkeypatch):
    """The path of something that is no regular file, and what it is."""
    monkeypatch.chdir(tmp_path)     # the name of a socket has at most 108 bytes
    path = "special"
    if request.param == "a folder":
        os.mkdir(path)
    elif request.param == "a named pipe":
        os.mkfifo(path)
    elif request.param == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
    else:
        path = os.devnull
    return path, request.param


@pytest.mark.parametrize("read", [check_regular, read_regular_file, read_json])
def test_what_is_no_regular_file_is_refused_without_being_opened(special, read, tmp_path):
    path, kind = special
    os.symlink(path, tmp_path / "link")
    for name in (path, tmp_path / "link"):
        with pytest.raises(ValueError, match=f"^{name} is {kind}; wanted a token file$"):
            read(name, "a token file")
        assert special_kind(name) == kind


def test_only_files_and_folders_are_replaced(special):
    path, kind = Path(special[0]), special[1]
    if kind == "a folder":
        check_free(path, overwrite=True)
        with pytest.raises(FileExistsError, match="^special exists; use --overwrite$"):
            check_free(path, overwrite=False)
        return
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=f"^{path} is {kind}; wanted a new name$"):
            check_free(path, overwrite)


def test_a_missing_file_and_one_that_is_too_large(tmp_path):
    for read in (check_regular, read_regular_file, read_json):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "nothing")
    (tmp_path / "file").write_bytes(b"12345")
    assert special_kind(tmp_path / "file") is None and special_kind(tmp_path / "nothing") is None
    assert read_regular_file(tmp_path / "file", max_bytes=5) == b"12345"
    with pytest.raises(ValueError, match="file has 5 bytes; wanted a recipe of at most 4$"):
        read_regular_file(tmp_path / "file", "a recipe", max_bytes=4)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"\0"])
def test_what_is_not_json_is_damaged(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="file is damaged: it is not JSON; wanted JSON$"):
        read_json(tmp_path / "file")


@given(value=st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_json_is_read(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "values.json"
    path.write_text(json.dumps(value))
    assert read_json(path) == value
