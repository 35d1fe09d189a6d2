import resource

import pytest

from ecgvae.data.errors import NoUsableRecords, error_text
from ecgvae.data.merge import write_skipped


def test_no_usable_records_says_how_many_and_why():
    skipped = [["a", "is empty"], ["b", "is damaged"]]
    error = NoUsableRecords(skipped, "folder")
    assert str(error) == "none of 2 records in folder can be used; the first, a: is empty"
    assert error.skipped == (("a", "is empty"), ("b", "is damaged"))
    assert str(NoUsableRecords(())) == "none of 0 records can be used" and isinstance(error, ValueError)


@pytest.mark.parametrize("error, text", [
    (ValueError("this came;\n that was wanted"), "this came; that was wanted"),
    (OSError(28, "No space left on device", "out"), "out: No space left on device"),
    (OSError("disk went away"), "disk went away"),
    (KeyError("r"), "KeyError: 'r'"),
    (ValueError(), "ValueError: "),
])
def test_errors_are_one_line(error, text):
    assert error_text(error) == text


def test_the_list_of_skipped_records_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "skipped.csv"
    write_skipped([("a\udcff", "is empty")], path, [("b", "is flat")])
    content = path.read_text()
    assert content == "path,reason,kind\na\\udcff,is empty,skipped\nb,is flat,note\n"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OSError, match=f"File too large: '{path}'"):
            write_skipped([("a", "is empty")] * 1000, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == content and list(tmp_path.iterdir()) == [path]
