"""Remarks about records on stderr: counted by kind, listed one by one, and with advice."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ecgvae.cli.terminal import remark
from ecgvae.wording import count

MIN_SHARED = 3              # records with a remark of one kind that are counted instead of listed
MAX_TEXTS = 3               # remarks of one kind about one record that are printed

LEAD = r"(?<!\w)(?:III|II|I|aV[RLF]|V[1-6])(?!\w)"
LEADS = re.compile(rf"{LEAD}(?:, {LEAD})*")
LACKING = re.compile(r" has leads (.*?)(?: \(skipped: .*)?; wanted ")   # a reason, with the channels of the record
NUMBER = re.compile(r"-?\d[\d.,]*(?:e[-+]?\d+)?")

Remarks = Sequence[tuple[str, str]]     # (record, text)


def list_remarks(title: str, remarks: Remarks, limit: int = 20) -> None:
    """Prints remarks about records: first a line for each kind that several records have, then a line for each other.

    At most `limit` lines of either are printed.
    """
    if not remarks:
        return
    kinds = sorted(group_by_kind(remarks), key=len, reverse=True)
    shared = [texts for texts in kinds if len(texts) >= MIN_SHARED]
    single = [(name, texts[name]) for texts in kinds if len(texts) < MIN_SHARED for name in texts]
    remark(f"{title} ({count(count_records(remarks), 'record')}):")
    for texts in shared[:limit]:
        name = next(iter(texts))
        remark(f"  {count(len(texts), 'record')}, such as {name}: {join_texts(texts[name])}")
    for name, own in single[:limit]:
        remark(f"  {name}: {join_texts(own)}")
    hidden = {name for texts in shared[limit:] for name in texts} | {name for name, _ in single[limit:]}
    if hidden:
        remark(f"  and others about {count(len(hidden), 'record')}")


def list_first(title: str, remarks: Remarks, limit: int = 20) -> None:
    """Prints remarks about records one by one in their order, at most `limit` of them."""
    if remarks:
        remark(f"{title} ({count(count_records(remarks), 'record')}):")
    for name, text in remarks[:limit]:
        remark(f"  {name}: {text}")
    if len(remarks) > limit:
        remark(f"  and {len(remarks) - limit:,} more")


def group_by_kind(remarks: Remarks) -> Iterable[Mapping[str, list[str]]]:
    """The different texts of each record, by its name, for each kind of remark."""
    kinds: dict[str, dict[str, list[str]]] = {}
    for name, text in remarks:
        texts = kinds.setdefault(kind_of(name, text), {}).setdefault(name, [])
        if text not in texts:
            texts.append(text)
    return kinds.values()


def kind_of(name: str, text: str) -> str:
    """What remarks of one kind have in common: the text without record, leads, numbers and details.

    Details are what comes after a semicolon, or after a colon if there are words, but no details, before it.
    """
    text = text.split("; ")[0]
    for own in (name, Path(name).name):     # where a reason names its record, or a file of it
        text = re.sub(rf"(?:^|(?<=/)){re.escape(own)}(?=[ .:]|$)", "RECORD", text)
    text = NUMBER.sub("0", LEADS.sub("LEAD", text))
    subject = text.split(": ")[0]
    return subject if re.fullmatch(r"[a-z]+( [a-z]+)+", subject) else text


def join_texts(texts: Sequence[str]) -> str:
    """The remarks of one kind about one record in one line."""
    more = len(texts) - MAX_TEXTS
    return "; ".join([*texts[:MAX_TEXTS], *([f"{more} more like this"] if more > 0 else [])])


def count_records(remarks: Remarks) -> int:
    """The number of different records that the remarks are about."""
    return len({name for name, _ in remarks})


def list_skipped(skipped: Remarks, path: Path | None = None, notes: Remarks = (), passed_over: Remarks = ()) -> None:
    """Prints the skipped records with the reasons.

    Args:
        skipped: (record, reason) of each.
        path: A CSV file to write with them, and with:
        notes: (record, note) of others.
        passed_over: (folder, remark) about files that are no records.
    """
    if path:
        from ecgvae.data.merge import write_skipped

        write_skipped(skipped, path, notes, passed_over)
    list_remarks("skipped", skipped)
    if any(" amplitude" in reason for _, reason in skipped):
        remark("  (--any-amplitude also uses records whose amplitudes cannot be those of an ECG in mV)")
    lacking = [match[1] for _, reason in skipped if (match := LACKING.search(reason))]
    if lacking:
        remark("  (--missing-leads zero sets the leads that a record lacks to 0 mV)")
    if any(has_unknown_names(channels) for channels in lacking):
        remark("  (--lead-map says which leads channels are that are not named after them)")


def has_unknown_names(channels: str) -> bool:
    """Whether there is a channel that is not named after its lead, in names that are separated by commas."""
    from ecgvae.signal import LEADS_12, canonical_lead

    return any(canonical_lead(name) not in LEADS_12 for name in channels.split(", "))


def count_skipped(skipped: Remarks) -> str:
    """The end of a result about the records that were skipped; empty if there are none."""
    return f"; {count(len(skipped), 'record')} skipped" if skipped else ""
