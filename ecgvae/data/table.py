"""Tables of labels, patients and splits of records, read from CSV."""

import csv
import io
import posixpath
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ecgvae.files import special_kind

if TYPE_CHECKING:
    import pandas

NAME_COLUMNS = ("record", "name")
STORE_COLUMNS = ("name", "start", "offset", "length", "rate", "samples", "notes", "comments")  # of every store
ORIGIN_COLUMNS = ("start_time", "source_leads")  # of a store too, unless its table of labels has them
SPLITS = {"train": range(1, 9), "validation": range(9, 10), "test": range(10, 11)}  # folds, as in PTB-XL
SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "val": "validation",
               "valid": "validation", "dev": "validation", "test": "test"}  # fmt: skip
MISSING = ("", "NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL")
LIST_SEPARATOR = ";"
KNOWN_COLUMNS = (*NAME_COLUMNS, "split", "fold", "patient", "age", "sex")  # in upper or lower case

# A cell is a number only if it has no leading zeros and fits the type, so that identifiers keep all digits.
_INTEGER = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)
_NUMBER = re.compile(r"[-+]?((0|[1-9]\d{0,14})(\.\d*)?|\.\d+)([eE][-+]?\d{1,2})?", re.ASCII)


def read_table(path: str | Path) -> "pandas.DataFrame":
    """Reads a CSV table of records, for `build_store(..., labels=table)`.

    Record names are in the column `record`, else in the column `name`, else in the first column. A name is the path
    of a record relative to the source of the store, with or without the suffix .hea or .dat. The other columns keep
    their names, but record, name, split, fold, patient, age and sex are known in upper case too. A column `split` has
    train, validation (also val, valid, dev) or test. If any cell of a column has a semicolon, all its cells become
    lists of texts; an empty cell becomes an empty list. Columns of integers, of other numbers, and of true and false
    get these types. Empty cells, NA, NaN and null are missing values.

    Args:
        path: A CSV file in UTF-8, separated by commas, with column names in its first line.

    Returns:
        The table, indexed by record name.

    Raises:
        ValueError: The file is not such a table.
        FileNotFoundError: There is no such file.

    Example:
        With `labels.csv`::

            record,split,patient,age,labels
            a/00001,train,17,56,NORM;SR
            a/00002,val,18,,MI

        >>> read_table("labels.csv")["labels"].tolist()
        [['NORM', 'SR'], ['MI']]
    """
    import pandas

    path = Path(path)
    header, lines = _read_cells(path)
    try:
        key = next((name for name in NAME_COLUMNS if name in header), header[0])
        position = header.index(key)
        names = [record_name(cells[position]) for _, cells in lines]
        _check_names(names, [number for number, _ in lines], key)
        columns = {name: [cells[index] for _, cells in lines] for index, name in enumerate(header) if index != position}
        check_columns(columns)
        typed = {name: _typed(name, cells, names) for name, cells in columns.items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    table = pandas.DataFrame(typed, index=range(len(names)))
    return table.set_axis(pandas.Index(names, dtype="object", name=key))


def _read_cells(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The column names, and (line number, cells) of each row that is not empty."""
    if kind := special_kind(path):
        raise ValueError(f"{path} is {kind}; wanted a table (CSV)")
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there; wanted a table (CSV)")
    if path.suffix.lower() in (".xls", ".xlsx", ".ods"):
        raise ValueError(f"{path} is a spreadsheet; wanted a table (CSV): save it as CSV UTF-8")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        if "\0" in text:
            raise UnicodeError
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except UnicodeError:
        raise ValueError(f"{path} is not text in UTF-8; wanted a table (CSV)") from None
    except csv.Error as error:
        raise ValueError(f"{path} is not a table (CSV): {error}") from None
    if len(lines) < 2:
        raise ValueError(f"{path} has no rows; wanted a line of column names and a row for each record")
    (_, header), *rows = lines
    header = [name.lower() if name.lower() in KNOWN_COLUMNS else name for name in header]
    if len(header) == 1 and re.search(r"[;\t]", header[0]):
        raise ValueError(f"{path} has no commas in its first line; wanted columns separated by commas "
                         "(semicolons separate the labels in a cell)")
    if "" in header:
        raise ValueError(f"{path}: column {header.index('') + 1} has no name; wanted a name for every column")
    repeated = [name for name, count in Counter(header).items() if count > 1]
    if repeated:
        raise ValueError(f"{path} has columns named {', '.join(repeated)}; wanted different names")
    for number, cells in rows:
        if len(cells) != len(header):
            raise ValueError(f"{path}: line {number} has {len(cells)} cells; wanted {len(header)}, as the first line")
    return header, rows


def record_name(cell: str) -> str:
    """A record's name in the form that stores use: folders separated by /, without suffix."""
    name = re.sub(r"\.(hea|dat)$", "", cell.strip().replace("\\", "/"))
    return posixpath.normpath(name) if name else ""


def _check_names(names: list[str], lines: list[int], column: str) -> None:
    first: dict[str, int] = {}
    for name, line in zip(names, lines, strict=True):
        if not name:
            raise ValueError(f"line {line} has no record name in the column {column}")
        if name in first:
            raise ValueError(f"lines {first[name]} and {line} are both for {name}; wanted one row for each record")
        first[name] = line


def check_columns(names: Iterable[object]) -> None:
    """Raises ValueError if a table has columns with names that stores use for their own columns."""
    present = set(names)
    if reserved := [name for name in STORE_COLUMNS if name in present]:
        raise ValueError(f"the table has columns {', '.join(reserved)}, which are columns of every store; rename them")


def _typed(column: str, cells: list[str], records: list[str]) -> "pandas.Series":
    """Converts the cells of a column to the type that fits all of them."""
    import pandas

    if column == "split":
        splits = [split_name(cell, record) for cell, record in zip(cells, records, strict=True)]
        return pandas.Series(splits, dtype="string")
    values = [None if cell in MISSING else cell for cell in cells]
    if any(LIST_SEPARATOR in cell for cell in cells):
        lists = [[item.strip() for item in (value or "").split(LIST_SEPARATOR) if item.strip()] for value in values]
        return pandas.Series(lists, dtype="object")
    present = {value for value in values if value is not None}
    if present and all(_INTEGER.fullmatch(value) for value in present):
        return pandas.Series([None if value is None else int(value) for value in values], dtype="Int64")
    if present and all(_NUMBER.fullmatch(value) for value in present):
        return pandas.Series([None if value is None else float(value) for value in values], dtype="Float64")
    if present and all(value.lower() in ("true", "false") for value in present):
        return pandas.Series([None if value is None else value.lower() == "true" for value in values], dtype="boolean")
    return pandas.Series(values, dtype="string")


def split_name(value: object, record: str) -> str | None:
    """Train, validation or test, from any accepted spelling; None for a missing value.

    Args:
        value: A cell of the column `split`.
        record: The record's name, for the error message.

    Raises:
        ValueError: The value is none of the spellings.
    """
    text = "" if value is None else str(value).strip()
    if text in MISSING:
        return None
    if not (name := SPLIT_NAMES.get(text.lower())):
        raise ValueError(f"{record} has split {text!r:.60}; wanted train, validation or test")
    return name


def match_labels(
    labels: "pandas.DataFrame", records: Iterable[str]
) -> "tuple[pandas.DataFrame, dict[str, int]]":
    """Checks that labels fit the records of a store, and counts rows and records that do not match.

    Args:
        labels: A DataFrame indexed by record name.
        records: The names of the records.

    Returns:
        The labels, with `split` in its standard spelling; and counts: of rows without a record ("unmatched_rows"), of
        records without a row ("unlabelled_records"), and of patients with records in several splits
        ("patients_in_several_splits").

    Raises:
        ValueError: The labels are not such a DataFrame, have a name twice, or fit no record.
    """
    import pandas

    if not isinstance(labels, pandas.DataFrame):
        raise ValueError(f"the labels are a {type(labels).__name__}; wanted a pandas DataFrame indexed by record name")
    check_columns(labels.columns)
    if not labels.index.is_unique:
        repeated = labels.index[labels.index.duplicated()][0]
        raise ValueError(f"the table has several rows for {repeated}; wanted one row for each record")
    names = dict.fromkeys(records)
    unmatched = [name for name in labels.index if name not in names]
    if len(unmatched) == len(labels):
        example = f"such as {unmatched[0]}" if unmatched else "and has no rows"
        raise ValueError(f"the table names none of the {len(names)} records, such as {next(iter(names), 'none')}; "
                         f"it has other names, {example}")
    if "split" in labels:
        present = labels["split"].notna()
        splits = [split_name(value if is_present else None, str(name))
                  for (name, value), is_present in zip(labels["split"].items(), present, strict=True)]
        labels = labels.assign(split=pandas.array(splits, dtype="string"))
    return labels, {"unmatched_rows": len(unmatched), "unlabelled_records": len(names) - len(labels) + len(unmatched),
                    "patients_in_several_splits": _shared_patients(labels)}


def has_splits(labels: "pandas.DataFrame | None") -> bool:
    """Whether a table of labels has folds or splits."""
    return labels is not None and ("fold" in labels or ("split" in labels and bool(labels["split"].notna().any())))


def _shared_patients(labels: "pandas.DataFrame") -> int:
    """The number of patients with records in several splits, by the column `split` or else `fold`."""
    if "patient" not in labels or not {"split", "fold"} & set(labels):
        return 0
    of_fold = {fold: name for name, folds in SPLITS.items() for fold in folds}
    splits = labels["split"] if "split" in labels else labels["fold"].map(of_fold)
    return int((splits.groupby(labels["patient"]).nunique() > 1).sum())
