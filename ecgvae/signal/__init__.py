"""ECG signals: records, WFDB files, leads, rates, and the form a model wants them in."""

from ecgvae.signal.conform import Conformed, Missing, conform, conform_stream
from ecgvae.signal.leads import (
    INDEPENDENT_8,
    LEADS_12,
    canonical_lead,
    fit_leads,
    independent_leads,
    lead_expansion,
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
    "Missing",
    "Ratio",
    "Record",
    "RecordFile",
    "SignalSpec",
    "canonical_lead",
    "conform",
    "conform_stream",
    "lead_expansion",
    "find_records",
    "fit_leads",
    "independent_leads",
    "open_record",
    "parse_leads",
    "ratio",
    "read_record",
    "resample",
    "write_record",
]
