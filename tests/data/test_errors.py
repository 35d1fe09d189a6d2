import pytest

from ecgvae.data.errors import NoUsableRecords, error_text


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
