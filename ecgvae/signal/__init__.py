"""ECG signals: records, WFDB files, leads, rates, and the form a model wants them in."""

from ecgvae.signal.conform import Conformed, conform, conform_stream
from ecgvae.signal.leads import (
    INDEPENDENT_8,
    LEADS_12,
    canonical,
    expansion,
    fit,
    independent,
    parse_leads,
)
from ecgvae.signal.reading import RecordFile, find_records, open_record, read_record
from ecgvae.signal.record import Record, SignalSpec
from ecgvae.signal.resample import Ratio, ratio, resample
from ecgvae.signal.writing import write_record

__all__ = [
    "INDEPENDENT_8",
    "LEADS_12",
    "Conformed",
    "Ratio",
    "Record",
    "RecordFile",
    "SignalSpec",
    "canonical",
    "conform",
    "conform_stream",
    "expansion",
    "find_records",
    "fit",
    "independent",
    "open_record",
    "parse_leads",
    "ratio",
    "read_record",
    "resample",
    "write_record",
]
