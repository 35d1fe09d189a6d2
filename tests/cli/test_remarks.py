"""Remarks about records: counts are of records, whatever the number of notes about each."""

import pytest

from ecgvae.cli.remarks import MIN_SHARED, kind_of, list_first, list_remarks, list_skipped
from ecgvae.signal import LEADS_12


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_many_notes_of_one_record_are_one_line_about_it(capsys):
    list_remarks("notes", [("allzero", f"{lead} is flat") for lead in LEADS_12])
    assert lines(capsys) == ["notes (1 record):", "  allzero: I is flat; II is flat; III is flat; 9 more like this"]


def test_records_of_one_kind_are_counted_once_each(capsys):
    notes = [(f"r{number}", f"{lead} is flat") for number in range(MIN_SHARED) for lead in LEADS_12[number:number + 2]]
    list_remarks("notes", [*notes, ("r1", "resampled from 500 Hz to 100 Hz"), ("x", "last 0.50 s left out")])
    assert lines(capsys) == ["notes (4 records):", f"  {MIN_SHARED} records, such as r0: I is flat; II is flat",
                             "  r1: resampled from 500 Hz to 100 Hz", "  x: last 0.50 s left out"]


def test_what_is_beyond_the_limit_is_counted_in_records(capsys):
    kinds = [("a", f"{letter} is odd") for letter in "pqrstu"] + [("b", "z is odd")]
    list_remarks("notes", kinds, limit=2)
    assert lines(capsys)[1:] == ["  a: p is odd", "  a: q is odd", "  and others about 2 records"]


@pytest.mark.parametrize("one, other", [
    (("a", "V1 is flat"), ("b", "aVR is flat")),
    (("a", "V3: 0.20 s missing from 1.50 s, bridged"), ("b", "II: 12.00 s missing from 0.00 s, bridged")),
    (("x/rec1", "rec1 has leads II, V5; wanted I, II"), ("y/ward", "ward has leads II; wanted I, II")),
    (("a", "a has a typical amplitude of 70 mV; ..."), ("b", "b has a typical amplitude of 1e+03 mV; ...")),
    (("a", "amplitudes unlike: V1 RMS 1 mV, peak 2 mV"), ("b", "amplitudes unlike: II offset -1.2 mV; 1 more")),
    (("a", "channels vx, vy are not used"), ("b", "channels vx, vy are not used")),
])
def test_kinds_do_not_depend_on_records_leads_and_numbers(one, other):
    assert kind_of(*one) == kind_of(*other)


def test_records_with_numbers_as_names_are_of_one_kind():
    """Such as MIT-BIH's record 100, whose name also is a rate."""
    kinds = {kind_of(name, f"resampled from {rate} Hz to 100 Hz")
             for name, rate in (("100", 360), ("1", 500), ("10", 500), ("a/360", 360))}
    assert len(kinds) == 1


def test_other_kinds_differ():
    texts = ["V1 is flat", "V1 is missing, derived from others", "V1 is missing, set to 0 mV", "VX is flat", ""]
    assert len({kind_of("V1", text) for text in texts}) == len(texts)


def test_ordered_remarks_are_not_grouped(capsys):
    list_first("PRDN", [(f"r{number}", f"PRDN {90 - number} %") for number in range(9)], limit=3)
    assert lines(capsys) == ["PRDN (9 records):", *(f"  r{index}: PRDN {90 - index} %" for index in range(3)),
                             "  and 6 more"]
    list_first("PRDN", [])
    assert lines(capsys) == []


def test_records_whose_leads_are_unknown_have_two_remedies(capsys):
    for channels, options in (("ECG1, ECG2", 2), ("V (skipped: ABP (mmHg))", 2), ("MLII", 1), ("II (skipped: a)", 1)):
        list_skipped([("a", f"a has leads {channels}; wanted I, II")])
        assert [line.split()[0] for line in lines(capsys)[2:]] == ["(--missing-leads", "(--lead-map"][:options]
    list_skipped([("a", "a.hea has no samples")])
    assert "--" not in "".join(lines(capsys))
