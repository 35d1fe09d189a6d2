"""The report on generated ECGs: how near they are to real ones, beside what real and decoded ones reach."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ecgvae.data.store import Store
from ecgvae.evaluation.generation.discriminator import discriminate_sets
from ecgvae.evaluation.generation.distances import compare_features
from ecgvae.evaluation.generation.latents import LatentAutoencoder
from ecgvae.evaluation.generation.linear import as_json, estimate_auc
from ecgvae.evaluation.generation.material import CLASSIFIER, RANDOM, Material, gather
from ecgvae.evaluation.generation.measurements import Stage, no_stage
from ecgvae.evaluation.generation.memorisation import Memorisation
from ecgvae.evaluation.generation.physiology import compare_physiology
from ecgvae.evaluation.generation.sets import EcgSet
from ecgvae.evaluation.generation.utility import MIN_RECORDS, Labelled, utility
from ecgvae.tokenizer import Tokenizer

ROW_NAMES = {"samples": "samples", "decoded": "decoded real", "validation": "real, validation",
             "training": "real, training", "samples_against_decoded": "vs decoded real",
             "reference": "real, reference"}
PAIRS = {"samples": "training", "decoded": "training", "validation": "reference", "training": "reference"}


def distance_section(material: Material) -> dict:
    """For each space and row: Fréchet distance, its ratio to the floor, and the neighbours' metrics.

    The floor is the distance of validation records if the reference is the test split, else that of training records,
    which the classifier has seen: their features differ a little from those of other real records. It is nearly all
    bias, which falls with the number of records: two parts of the training split of PTB-XL's subset are 980, 550, 250,
    110 and 63 apart for 67, 133, 267, 670 and 1,000 records each (random network). Only ratios of one number compare.
    """
    spaces: dict[str, dict] = {}
    for space in material.spaces:
        real = material.projected(space, "reference")
        rows = {row: as_json(compare_features(real, material.projected(space, row), material.count, material.seed))
                for row in material.rows}
        floor = rows["validation" if "validation" in rows else "training"]["frechet"]["value"]
        spaces[space] = {row: {**values, "frechet_ratio": values["frechet"]["value"] / floor}
                         for row, values in rows.items()}
    return spaces


def discriminator_section(material: Material) -> dict:
    """For each space and row: the AUC of a discriminator against real records, and of samples against decoded ones."""
    pairs = {row: (PAIRS[row], row) for row in material.rows}
    if "decoded" in material.sets:
        pairs["samples_against_decoded"] = ("decoded", "samples")
    areas: dict[str, dict] = {}
    for space in material.spaces:
        features = {name: material.standardized(space, name) for name in material.sets}
        areas[space] = {row: asdict(discriminate_sets((material.sets[real], material.sets[generated]),
                                                      (features[real], features[generated]), material.seed))
                        for row, (real, generated) in pairs.items()}
    return areas


def utility_section(material: Material) -> dict:
    """For samples and decoded records with labels: see `utility`; and the agreement of labels with the classifier's.

    The row `reference` has the agreement of the real labels. What was trained on decoded records is not tested on
    their originals.
    """
    table: dict[str, dict] = {}
    labelled = {name: Labelled(material.standardized(RANDOM, name), labels) for name, ecgs in material.sets.items()
                if (labels := ecgs.labels) is not None and labels.any(axis=1).sum() >= MIN_RECORDS}
    for row in ("samples", "decoded"):
        if {row, "training", "reference"} <= labelled.keys():
            estimates = utility(labelled["training"], labelled[row], labelled["reference"], material.seed)
            table[row] = as_json({name: value for name, value in estimates.items()
                                  if row == "samples" or name != "trts"})
    for row in ("samples", "reference"):
        if (agreement := classifier_agreement(material, row)) is not None:
            table.setdefault(row, {})["agreement"] = agreement
    return table


def classifier_agreement(material: Material, name: str) -> dict[str, float] | None:
    """The macro-AUC of the classifier for the labels of a set; None if it has none."""
    labels = material.sets[name].labels
    if material.classifier is None or labels is None or not (rows := labels.any(axis=1)).any():
        return None
    logits = material.classifier.logits(material.features[CLASSIFIER][name][rows])
    return asdict(estimate_auc(labels[rows], logits, material.seed))


def physiology_section(material: Material) -> dict:
    """For each row: see `compare_physiology`; empty if it can't be measured."""
    measured = material.measurements.physiology
    return {row: compare_physiology(measured["reference"], measured[row], material.seed)
            for row in material.rows if measured}


def memorisation_section(material: Material) -> dict:
    """For samples, decoded and validation records: see `Memorisation.summary`; the reference is what is held out.

    Decoded training records are copies, which shows how near those are. Empty if the records are too short.
    """
    found = material.measurements.nearest
    return {row: Memorisation(found[row], found["reference"]).summary() for row in material.rows if row in found}


# The sections of a report, in their order; each measures the material, and adds what it returns under its name.
SECTIONS: dict[str, Callable[[Material], dict]] = {
    "distances": distance_section,
    "discriminator": discriminator_section,
    "utility": utility_section,
    "physiology": physiology_section,
    "memorisation": memorisation_section,
}


def measure_samples(samples: str | Path | EcgSet, store: Store, split: str = "validation",
                    tokenizer: Tokenizer | LatentAutoencoder | None = None, codebooks: int | None = None,
                    cache: Path | None = None, seed: int = 0, stage: Stage = no_stage) -> dict:
    """Measures how near generated ECGs are to real ones: `gather`, whose arguments these are, and `measure`."""
    return measure(gather(samples, store, split, tokenizer, codebooks, cache, seed, stage), stage)


def measure(material: Material, stage: Stage = no_stage) -> dict:
    """The report on generated ECGs.

    Every metric is also measured for real records: those of the training split, and those of the validation split if
    the reference is the test split. They show what a perfect generator would reach. So do the decoded tokens of the
    training records for a generator of tokens.

    Args:
        material: The sets and their features.
        stage: Called with what is counted, the number done and their total.

    Returns:
        A dictionary of JSON values:

        - `store`, `split`, `tokenizer` (`name`, `identity`, and `codebooks` or None for latents; or None) and `seed`.
        - `records`: their number in each set; `compared`: the number that are compared at a time, as distances depend
          on it; `labelled`: the number of samples with a class; `seconds`, `rate` and `leads` of all.
        - `left_out` and `notes`: [record, text] about samples and real records.
        - `missing`: {section: reason} of the sections that can't be measured, which are empty.
        - `sections`, in which ROW is `samples`, `decoded`, `validation` (if the reference is the test split) or
          `training`, each compared with the reference, and SPACE is `random` or `classifier`:

          - `distances`: {SPACE: {ROW: {`frechet`, `precision`, `recall`, `density`, `coverage`, `clipped_density` and
            `clipped_coverage`: ESTIMATE; `frechet_ratio`: to the floor}}}
          - `discriminator`: {SPACE: {ROW or `samples_against_decoded`: ESTIMATE}}, areas under the ROC curve; samples
            and decoded records are told from training records
          - `utility`: {`samples` or `decoded`: {`tstr`, `trtr`, `ratio`, `trts`: ESTIMATE}, `samples` or `reference`:
            {`agreement`: ESTIMATE}}
          - `physiology`: {ROW: see `compare_physiology`}
          - `memorisation`: {ROW but `training`: see `Memorisation.summary`}

        An ESTIMATE has a `value`, and `low` and `high` of its 95 % bootstrap interval. Numbers that can't be measured
        are NaN, which JSON files have as null.
    """
    sections = {}
    for index, (name, section) in enumerate(SECTIONS.items()):
        stage("sections measured", index, len(SECTIONS))
        sections[name] = section(material)
    return {**material.facts, **describe(material), "sections": sections}


def describe(material: Material) -> dict:
    """Facts about the sets that are compared."""
    samples, sets = material.sets["samples"], material.sets
    remarks = {kind: [list(remark) for ecgs in sets.values() for remark in getattr(ecgs, kind)]
               for kind in ("left_out", "notes")}
    return {"records": {name: len(ecgs) for name, ecgs in sets.items()}, "compared": material.count,
            "seconds": samples.seconds, "rate": samples.rate, "leads": list(samples.leads), "seed": material.seed,
            "labelled": 0 if samples.labels is None else int(np.any(samples.labels, axis=1).sum()), **remarks,
            "missing": material.measurements.missing}
