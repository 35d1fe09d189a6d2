"""Formats other than WFDB, by the suffixes of their files, and how to convert them."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping

from ecgvae.wording import count_is

_WRITE = "ecgvae.write_record(ecgvae.Record(array, rate, leads), folder)"
_EDF = ("EDF", "read it with wfdb.io.convert.read_edf and write it with wfdb.wrsamp")
_BDF = ("BDF", f"read it with pyedflib.highlevel.read_edf and write it with {_WRITE}")
_DICOM = ("DICOM", f"read it with pydicom.dcmread(file).waveform_array(0).T and write it, in mV, with {_WRITE}")
_NUMPY = ("NumPy", f"read it with numpy.load and write it with {_WRITE}")
_CSV = ("CSV", 'convert it with wfdb.io.convert.csv_to_wfdb(file, fs=rate, units="mV")')
_TSV = ("TSV", r'convert it with wfdb.io.convert.csv_to_wfdb(file, fs=rate, units="mV", delimiter="\t")')
_TEXT = ("text", f"read it with numpy.loadtxt and write it with {_WRITE}")
_MATLAB = ("MATLAB without a WFDB header (.hea)", f"read it with scipy.io.loadmat and write it with {_WRITE}")
_SCP = ("SCP-ECG", f"read it with a library for SCP-ECG, such as BioSig, and write it with {_WRITE}")
_XML = ("XML, such as HL7 aECG", f"read its samples with xml.etree.ElementTree and write them with {_WRITE}")
_HDF5 = ("HDF5", f"read it with h5py.File and write it with {_WRITE}")

# (format, how to convert it) by suffix. Files of DESCRIPTIVE formats may hold labels: if a folder has files of other
# formats too, those are taken to be its signals.
CONVERTERS = {
    ".edf": _EDF, ".bdf": _BDF, ".dcm": _DICOM, ".npy": _NUMPY, ".npz": _NUMPY, ".mat": _MATLAB, ".scp": _SCP,
    ".h5": _HDF5, ".hdf5": _HDF5, ".xml": _XML, ".csv": _CSV, ".tsv": _TSV, ".txt": _TEXT,
}  # fmt: skip
DESCRIPTIVE = (".csv", ".tsv", ".txt", ".xml")
TABLES_AND_TEXTS = (".csv", ".tsv", ".txt")  # not taken for signals beside WFDB records


def describe_file(path: str) -> str | None:
    """The format of a file that is not WFDB and how to convert it, in one line; None for an unknown suffix.

    A path without suffix stands for a file of that name with a known suffix.
    """
    suffix = os.path.splitext(path)[1]
    if not os.path.isfile(path):
        suffix = next((other for other in CONVERTERS if os.path.isfile(f"{path}{other}")), "")
        path += suffix
    if suffix.lower() not in CONVERTERS:
        return None
    kind, conversion = CONVERTERS[suffix.lower()]
    return f"{path} is {kind}; wanted WFDB: {conversion}"


def other_formats(names: Iterable[str]) -> Counter[str]:
    """The number of files in one folder by suffix, of those in another format than WFDB that hold signals.

    Files that have the name of a header (.hea) in the same folder do not count.
    """
    names = [name for name in names if name[0] != "."]
    records = {name[:-4] for name in names if name.endswith(".hea")}
    suffixes = (os.path.splitext(name)[1].lower() for name in names if os.path.splitext(name)[0] not in records)
    return Counter(suffix for suffix in suffixes if suffix in CONVERTERS and suffix not in TABLES_AND_TEXTS)


def passed_over(suffixes: Mapping[str, int]) -> list[str]:
    """A line about the files of each other format beside WFDB records, from their numbers by suffix."""
    return [f"{count_is(number, f'{suffix} file')} passed over: {CONVERTERS[suffix][0]}; "
            f"wanted WFDB: {CONVERTERS[suffix][1]}" for suffix, number in sorted(suffixes.items())]


def describe_folder(folder: str, names: Iterable[str]) -> str | None:
    """The most frequent known format among a folder's files and how to convert them.

    None if there is no known format, or a WFDB header.
    """
    suffixes = Counter(os.path.splitext(name)[1].lower() for name in names if name[0] != ".")
    convertible = [suffix for suffix in CONVERTERS if suffixes[suffix]]
    if not convertible or suffixes[".hea"]:
        return None
    suffix = min(convertible, key=lambda suffix: (suffix in DESCRIPTIVE, -suffixes[suffix]))
    kind, conversion = CONVERTERS[suffix]
    count = suffixes[suffix]
    files = f"a {suffix} file, which is" if count == 1 else f"{count:,} {suffix} files, which are"
    return f"no WFDB records (.hea) under {folder}; it has {files} {kind}: {conversion}"
