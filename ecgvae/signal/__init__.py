"""ECG signals: records, WFDB files, leads, resampling, and conversion of records to a model's input."""

from ecgvae.signal.conform import Conformed, Missing, conform, conform_stream, recorded_leads
from ecgvae.signal.leads import (
    INDEPENDENT_8,
    LEADS_12,
    canonical_lead,
    check_lead_map,
    fit_leads,
    independent_leads,
    lead_expansion,
    parse_lead_map,
    parse_leads,
    standardize_lead_map,
)
from ecgvae.signal.reading import RecordFile, find_records, open_record, read_record
from ecgvae.signal.record import MICROVOLTS_PER_MV, Record, SignalSpec, check_finite
from ecgvae.signal.resample import Ratio, ratio, resample
from ecgvae.signal.writing import write_record

__all__ = [
    "INDEPENDENT_8",
    "LEADS_12",
    "MICROVOLTS_PER_MV",
    "Conformed",
    "Missing",
    "Ratio",
    "Record",
    "RecordFile",
    "SignalSpec",
    "canonical_lead",
    "check_finite",
    "check_lead_map",
    "conform",
    "conform_stream",
    "find_records",
    "fit_leads",
    "independent_leads",
    "lead_expansion",
    "open_record",
    "parse_lead_map",
    "parse_leads",
    "ratio",
    "read_record",
    "recorded_leads",
    "resample",
    "standardize_lead_map",
    "write_record",
]
