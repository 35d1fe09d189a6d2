"""Records and arrays to tokens and back, at any length."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from ecgvae import checkpoint
from ecgvae.data.fingerprints import TrainingRecords
from ecgvae.data.token_checks import check_fields
from ecgvae.data.tokens import TokenHeader, Tokens
from ecgvae.metrics import bits_per_second
from ecgvae.models import QuantizedAutoencoder
from ecgvae.signal import Missing, Record, RecordFile
from ecgvae.signal.amplitudes import Amplitudes
from ecgvae.tokenizer.arrays import Array, array_to_records, split_codes
from ecgvae.tokenizer.batching import Batches
from ecgvae.tokenizer.chunks import Chunk
from ecgvae.tokenizer.decoding import DECODED, RecordDecoder, coded_blocks, expand_leads, open_decoder
from ecgvae.tokenizer.encoding import EncodeOptions, RecordEncoder
from ecgvae.tokenizer.threads import thread_pool
from ecgvae.wording import plain

CHUNK_SAMPLES = 1 << 14     # of a long record that a model gets at once (164 s at 100 Hz), without the overlap
CPU_BATCH = 8               # records at a time on a CPU; more do not fit its cache


@dataclass(frozen=True, repr=False)
class Tokenizer:
    """A model that turns records and arrays of any leads, rate and length into tokens, and tokens into records.

    Example:
        >>> tokenizer = ecgvae.Tokenizer.load("ptbxl-vqvae-conv")
        >>> tokens = tokenizer.encode(ecgvae.read_record("records/00001"))
        >>> record = tokenizer.decode(tokens)
    """

    model: QuantizedAutoencoder
    name: str = "model"
    saved_identity: str | None = None
    amplitudes: Amplitudes | None = None    # of the training data
    training_records: TrainingRecords | None = None

    @classmethod
    def load(cls, model: str | Path, device: str = "auto") -> "Tokenizer":
        """Loads a tokenizer.

        Args:
            model: The name of a shipped tokenizer, a checkpoint folder, or the folder of a training run.
            device: A device by torch's name, or "auto" for a GPU if there is one.

        Raises:
            FileNotFoundError: There is no such model.
            ValueError: It is damaged, has no tokens, or torch cannot use the device.
        """
        folder = checkpoint.locate(model)
        module = checkpoint.load(folder, device)
        if not isinstance(module, QuantizedAutoencoder):
            raise ValueError(f"{model} is of family {module.settings.family}, which has no tokens; wanted a tokenizer")
        return cls(module, checkpoint.model_name(folder), checkpoint.identity(folder), checkpoint.amplitudes(folder),
                   checkpoint.training_records(folder))

    def __repr__(self) -> str:
        signal, specs = self.model.signal, self.model.codebook_specs
        return (f"Tokenizer({self.name!r}, {len(signal.leads)} leads at {signal.rate:g} Hz, "
                f"{len(specs)} codebooks, {self.device})")

    @cached_property
    def identity(self) -> str:
        """The hash of settings and weights that identifies this tokenizer in token files."""
        return self.saved_identity or checkpoint.identity(self.model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def header(self, codebooks: int | None = None) -> TokenHeader:
        """The facts that all tokens of this tokenizer, with its first `codebooks` codebooks, have in common."""
        specs = self.model.codebook_specs[:self.check_codebooks(codebooks)]
        return TokenHeader(self.identity, self.name, self.model.signal.rate, self.model.signal.leads, specs)

    def check_codebooks(self, codebooks: int | None) -> int:
        """The number of codebooks to use, all for None; ValueError if the model has fewer."""
        available = len(self.model.codebook_specs)
        if codebooks is None:
            return available
        if not isinstance(codebooks, int) or isinstance(codebooks, bool) or not 1 <= codebooks <= available:
            raise ValueError(f"codebooks is {codebooks!r:.60}; {self.name} has 1 to {available}")
        return codebooks

    @overload
    def encode(self, signal: Record | RecordFile, *, rate: float | None = None, leads: Sequence[str] | None = None,
               codebooks: int | None = None, missing: Missing = "error", any_amplitude: bool = False) -> Tokens: ...

    @overload       # Tokens or a list of them, by the number of dimensions, which types cannot express
    def encode(self, signal: Array, *, rate: float | None = None, leads: Sequence[str] | None = None,
               codebooks: int | None = None, missing: Missing = "error", any_amplitude: bool = False) -> Any: ...

    def encode(self, signal: Record | RecordFile | Array, *, rate: float | None = None,
               leads: Sequence[str] | None = None, codebooks: int | None = None, missing: Missing = "error",
               any_amplitude: bool = False) -> Tokens | list[Tokens]:
        """Encodes a record, or one or many records in an array. Memory use does not grow with their length.

        Args:
            signal: A record; or an array or tensor in mV of shape (c, t), or (n, c, t) for n records. NaN is a
                missing sample: short gaps are bridged, longer ones derived from other leads or set to 0 mV.
            rate: Sampling rate of an array in Hz.
            leads: Names of the c leads of an array, in any order; a text like "I,II,V1" or "standard-12" will do.
            codebooks: Number of first codebooks to use; by default all.
            missing: What to do if a lead is missing: "error", or "zero" for 0 mV.
            any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.

        Returns:
            Tokens of the record; a list of them for (n, c, t). `notes` of the tokens name every repair, and leads
            whose amplitudes are unlike those of the model's training data.

        Raises:
            ValueError: A lead is missing, or the amplitudes are not those of an ECG in mV; or an array lacks rate or
                leads, has a wrong shape, or holds infinity.
        """
        if isinstance(signal, Record | RecordFile):
            if rate is not None or leads is not None:
                raise ValueError(f"{plain(signal.name)} came with rate= or leads=, which arrays need; wanted only it")
            return self.encode_many([signal], codebooks, missing, any_amplitude=any_amplitude)[0]
        records = array_to_records(signal, rate, leads)
        tokens = self.encode_many(records, codebooks, missing, any_amplitude=any_amplitude)
        return tokens if signal.ndim == 3 else tokens[0]

    def encode_many(self, records: Iterable[Record | RecordFile], codebooks: int | None = None,
                    missing: Missing = "error", batch_size: int = 64,
                    on_error: Callable[[int, Exception], object] | None = None,
                    lead_map: Mapping[str, str] | None = None, any_amplitude: bool = False) -> list[Tokens]:
        """Encodes several records; those of equal length go through the model together.

        Args:
            records: The records.
            codebooks: Number of first codebooks to use; by default all.
            missing: What to do if a lead is missing: "error", or "zero" for 0 mV.
            batch_size: Records that go through the model together.
            on_error: Called with the index of a record that cannot be used and the reason; the record is then left
                out. Without it the reason is raised.
            lead_map: Leads by channel name, for channels that are not named after their leads.
            any_amplitude: Whether amplitudes that cannot be those of an ECG in mV are accepted.

        Returns:
            The tokens of all usable records, in order.

        Raises:
            ValueError: A record cannot be used (without `on_error`), or the model has fewer codebooks.
        """
        codebooks = self.check_codebooks(codebooks)
        specs, options = self.header(codebooks).codebooks, EncodeOptions(missing, lead_map, any_amplitude)
        max_batch = min(batch_size, CPU_BATCH) if self.device.type == "cpu" else batch_size
        encoders: list[RecordEncoder] = []
        with thread_pool(self.device) as submit:
            batches = Batches(self.encode_batch, max_batch, submit)
            for index, record in enumerate(records):
                encoder = RecordEncoder(record, self.model, self.amplitudes, specs, options, CHUNK_SAMPLES)
                try:
                    for chunk in encoder.chunks:
                        batches.add(chunk.signal.shape[-1], (encoder, chunk), not chunk.is_whole_record)
                except (ValueError, OSError) as error:
                    if on_error is None:
                        raise
                    on_error(index, error)
                    continue
                encoders.append(encoder)
            batches.finish()
        return [encoder.tokens() for encoder in encoders]

    def encode_batch(self, batch: Sequence[tuple[RecordEncoder, Chunk]]) -> None:
        """Encodes chunks of equal length and hands the codes to their records."""
        signals = np.stack([chunk.signal for _, chunk in batch])
        all_codes = self.tokenize(signals, len(batch[0][0].codebooks))
        for (encoder, chunk), *codes in zip(batch, *all_codes, strict=True):
            encoder.store_codes(chunk, codes)

    @torch.inference_mode()
    def tokenize(self, signals: np.ndarray, codebooks: int) -> tuple[np.ndarray, ...]:
        """Coded leads (b, c, t) in mV to the codes (b, n) of every codebook."""
        x = torch.from_numpy(signals).to(self.device)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):    # TF32 would change the nearest codes
            return tuple(codes.cpu().numpy() for codes in self.model.tokenize(x, codebooks))

    @overload
    def decode(self, tokens: Tokens, original: bool = True, *, samples: int | None = None,
               all_leads: bool = False) -> Record: ...

    @overload
    def decode(self, tokens: list[Tokens], original: bool = True, *, samples: int | None = None,
               all_leads: bool = False) -> list[Record]: ...

    @overload
    def decode(self, tokens: Array | Sequence[Array], original: bool = True, *, samples: int | None = None,
               all_leads: bool = False) -> np.ndarray: ...

    def decode(self, tokens: Tokens | list[Tokens] | Array | Sequence[Array], original: bool = True, *,
               samples: int | None = None, all_leads: bool = False) -> Record | list[Record] | np.ndarray:
        """Decodes tokens to a record, or plain codes to an array.

        Args:
            tokens: Tokens of a record, or a list of them; or plain codes: an array (q, n) or (b, q, n) if all codebooks
                have the same hop, else a sequence with an array (n,) or (b, n) for each codebook. Fewer codebooks than
                the model has are allowed.
            original: True restores the rate and length of the encoded record; False keeps the model's rate.
            samples: Length of the array, at the model's rate; by default as long as the codes.
            all_leads: True adds the leads that the encoded record did not have, unless they follow from its leads
                anyway; `invented_leads` of the record names them. Plain codes always give all leads.

        Returns:
            A record in mV with the model's leads that the encoded record had or that follow from them, or a list of
            records; for plain codes an array (leads, t) or (b, leads, t) at the model's rate.

        Raises:
            ValueError: The codes are not codes of this tokenizer, or the tokens contradict themselves.
        """
        if isinstance(tokens, Tokens):
            if samples is not None:
                raise ValueError("samples= came with tokens, which know their length; wanted it with plain codes only")
            return self.decoder(tokens, original, all_leads).record()
        codes_or_tokens: Any = tokens
        if isinstance(tokens, list | tuple) and tokens and isinstance(tokens[0], Tokens):
            return [self.decode(item, original, samples=samples, all_leads=all_leads) for item in codes_or_tokens]
        if samples is not None and not (isinstance(samples, int) and samples > 0):
            raise ValueError(f"samples is {samples!r:.60}; wanted a number above 0")
        codes, is_batch = split_codes(codes_or_tokens)
        specs = self.header(len(codes)).codebooks
        length = codes[-1].shape[1] * specs[-1].hop if samples is None else samples
        rate = self.model.signal.rate
        records = [self.decoder(Tokens(row, length, f"record {index}", rate, length), False).record().signal
                   for index, row in enumerate(zip(*codes, strict=True))]
        if not records:
            return np.empty((0, len(self.model.signal.leads), length), np.float32)
        return np.stack(records) if is_batch else records[0]

    def decoder(self, tokens: Tokens, original: bool = True, all_leads: bool = False) -> RecordDecoder:
        """The decoding of a record's tokens block by block; arguments and errors are those of `decode`."""
        check_fields(tokens)
        header = self.header(len(tokens.codes))
        header.check(tokens)
        rate = bits_per_second(header.codebooks, header.rate)
        comment = f"{DECODED} {self.name} ({self.identity}) from {rate:g} bit/s"
        return open_decoder(self.model, tokens, comment, CHUNK_SAMPLES, original, all_leads)

    def all_leads(self, signal: np.ndarray) -> np.ndarray:
        """All leads (leads, t) from the coded ones (c, t), which are first rounded to even microvolts."""
        return expand_leads(self.model.signal, signal, self.model.signal.leads)

    def decode_coded_leads(self, codes: Sequence[np.ndarray], samples: int) -> np.ndarray:
        """The coded leads (c, t) in mV; long codes are decoded in overlapping chunks."""
        return np.concatenate(list(coded_blocks(self.model, codes, samples, CHUNK_SAMPLES)), axis=1)
