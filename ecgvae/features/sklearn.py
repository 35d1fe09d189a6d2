"""A scikit-learn transformer: ECGs to the features of a pretrained encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ecgvae.features.extract import DEFAULT_MODEL, arrays_to_records
from ecgvae.features.extractor import Extractor
from ecgvae.signal import LEADS_12
from ecgvae.tokenizer.arrays import lead_names
from ecgvae.wording import quote


class FeatureExtractor(TransformerMixin, BaseEstimator):
    """Turns ECGs (n_cases, n_channels, n_timepoints) in mV into a row of features each.

    Nothing is learned from the data: `fit` loads the encoder and checks the leads.

    Example:
        >>> pipe = make_pipeline(ecgvae.FeatureExtractor("ptbxl-vqvae-conv"), StandardScaler(), LogisticRegression())
        >>> pipe.fit(x, y)      # x: an array (n, 12, t), or a list of arrays (12, t) of any lengths

    Args:
        model: The name of a shipped model, or a model or run folder.
        rate: Sampling rate of the ECGs in Hz; by default that of the model.
        leads: Names of the channels; by default the standard order of twelve leads for 12 channels, and the leads that
            the model encodes for as many channels as these.
        layers: Names of layers, see `Autoencoder.feature_maps`; by default the one in the middle of the encoder.
        pool: How frames are pooled: "stats", "mean-std" or "mean".
        missing: What to do if a lead is missing: "error", or "zero" for 0 mV.
        any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.
        device: A device by torch's name, or "auto" for a GPU if there is one.
    """

    def __init__(self, model: str | Path = DEFAULT_MODEL, *, rate: float | None = None,
                 leads: Sequence[str] | None = None, layers: Sequence[str] | None = None, pool: str = "stats",
                 missing: str = "error", any_amplitude: bool = False, device: str = "auto"):
        self.model = model
        self.rate = rate
        self.leads = leads
        self.layers = layers
        self.pool = pool
        self.missing = missing
        self.any_amplitude = any_amplitude
        self.device = device

    def fit(self, X: Any, y: Any = None) -> "FeatureExtractor":
        """Loads the encoder; the features of each ECG depend on that ECG only."""
        extractor = Extractor.load(self.model, self.layers, self.pool, None, self.device)
        channels = count_channels(X)
        leads = default_leads(channels, extractor) if self.leads is None else lead_names(self.leads)
        if len(leads) != channels:
            raise ValueError(f"ECGs of {channels} channels with {len(leads)} leads; wanted a name for each channel")
        self.extractor_, self.leads_, self.n_channels_in_ = extractor, leads, channels
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The features (n_cases, n_features) of ECGs, float32."""
        check_is_fitted(self)
        if (channels := count_channels(X)) != self.n_channels_in_:
            raise ValueError(f"ECGs of {channels} channels; the extractor was fitted to {self.n_channels_in_}")
        extractor = self.extractor_
        records = arrays_to_records(X, self.rate or extractor.model.signal.rate, self.leads_)
        missing: Any = self.missing
        found = extractor.extract(records, missing, any_amplitude=self.any_amplitude)
        return np.concatenate([features.values for features in found])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the features, such as "layer3.17.mean"."""
        check_is_fitted(self)
        return np.array(self.extractor_.names, dtype=object)


def count_channels(X: Any) -> int:
    """The number of channels of ECGs; ValueError unless they are (n, c, t), or a list of (c, t) with equal c."""
    shapes = [np.shape(item) for item in X] if isinstance(X, list | tuple) else [np.shape(X)[1:]]
    if not shapes or any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) != 1:
        got = f"an array of shape {np.shape(X)}" if not isinstance(X, list | tuple) else f"a list of {len(shapes)}"
        raise ValueError(f"got {got if hasattr(X, '__len__') else quote(X)}; wanted (n_cases, n_channels, "
                         "n_timepoints), or a list of arrays (n_channels, n_timepoints)")
    return shapes[0][0]


def default_leads(channels: int, extractor: Extractor) -> tuple[str, ...]:
    """The leads that so many channels usually are; ValueError if that is not known."""
    for leads in (LEADS_12, extractor.model.signal.leads, extractor.model.signal.coded):
        if channels == len(leads):
            return tuple(leads)
    raise ValueError(f"ECGs of {channels} channels; wanted leads= with their names")
