"""Records from a prior: sampled, continued, and their probability."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ecgvae import checkpoint
from ecgvae.conditions import ConditionSettings
from ecgvae.data.jobs import Progress, no_progress
from ecgvae.data.store import Store
from ecgvae.data.tokens import TokenHeader, Tokens
from ecgvae.generation.comments import sample_comments
from ecgvae.generation.conditions import Condition, conditions_like
from ecgvae.generation.decoders import Decoder, TokenDecoder, load_decoder
from ecgvae.generation.request import (
    CPU_BLOCK,
    GPU_BLOCK,
    Sample,
    SampleRequest,
    as_conditions,
    as_labels,
    as_seed,
    block_generator,
    sampling_settings,
)
from ecgvae.priors import LatentPrior, SamplingSettings, TokenPrior
from ecgvae.signal import Record, RecordFile
from ecgvae.signal.generated import Origin
from ecgvae.wording import quote


@dataclass(frozen=True, repr=False)
class Prior:
    """A prior that generates ECG records: what it draws is decoded by the autoencoder that it stands on.

    Example:
        >>> prior = ecgvae.Prior.load("runs/prior")
        >>> records = prior.sample(16, labels=["MI"], age=60, sex="female")
        >>> ecgvae.write_record(records[0], "generated")
    """

    module: TokenPrior | LatentPrior
    decoder: Decoder
    name: str = "prior"
    identity: str = "00000000"

    @classmethod
    def load(cls, prior: str | Path | None = None, device: str = "auto", autoencoder: str | Path | None = None
             ) -> "Prior":
        """Loads a prior and its autoencoder.

        Args:
            prior: The name of a shipped prior, a checkpoint folder, or the folder of a training run; by default the
                first one that comes with the package.
            device: A device by torch's name, or "auto" for a GPU if there is one.
            autoencoder: Another place to take its autoencoder from, by name or folder.

        Raises:
            FileNotFoundError: There is no such prior or autoencoder.
            ValueError: It is a model or damaged, the autoencoder is another one than it was trained on, or torch cannot
                use the device.
        """
        folder = checkpoint.locate_prior(checkpoint.default_prior() if prior is None else prior)
        module: Any = checkpoint.load_prior(folder, device)
        source = checkpoint.prior_autoencoder(folder, autoencoder)
        decoder = load_decoder(source, module.layout if isinstance(module, TokenPrior) else None, device)
        return cls(module, decoder, checkpoint.prior_name(folder), checkpoint.prior_config(folder)["identity"])

    def __repr__(self) -> str:
        leads, rate = len(self.decoder.signal.leads), self.decoder.signal.rate
        return f"Prior({self.name!r}, {self.kind}, {leads} leads at {rate:g} Hz, {self.module.device})"

    @property
    def kind(self) -> str:
        """The kind of prior, such as "autoregressive"."""
        return self.module.settings.kind

    @property
    def condition(self) -> ConditionSettings | None:
        """The labels that can be asked for, and whether age and sex can; None if nothing can."""
        return self.module.condition

    @property
    def options(self) -> frozenset[str]:
        """Those of `SamplingSettings` that change the samples of this kind of prior."""
        return self.module.options

    @property
    def token_header(self) -> TokenHeader:
        """The header of a token file of its samples; ValueError for a prior over a latent."""
        tokens = self._tokens
        return tokens.tokenizer.header(len(tokens.layout.codebooks))

    @property
    def _tokens(self) -> TokenDecoder:
        if not isinstance(self.decoder, TokenDecoder):
            raise ValueError(f"{self.name} is over a continuous latent; wanted a prior over tokens")
        return self.decoder

    def conditions_like(self, store: Store, split: str = "train") -> list[Condition]:
        """The conditions of the rows of a store's split, for `sample(conditions=...)`; see `conditions_like`."""
        return conditions_like(store, self.condition, split) if self.condition else [Condition()] * len(
            store.split(split))

    def sample(self, count: int | None = None, labels: Sequence[str] = (), age: float | None = None,
               sex: str | None = None, *, conditions: Sequence[Condition] | None = None, seconds: float = 10.0,
               seed: int | torch.Generator = 0, guidance: float = 1.0, temperature: float = 1.0,
               top_k: int | None = None, top_p: float = 1.0, steps: int | None = None, order: str = "uniform",
               solver: str | None = None, prompt: Record | RecordFile | None = None, keep: float = 5.0,
               batch_size: int = GPU_BLOCK, progress: Progress = no_progress) -> list[Record]:
        """Generates records. On a CPU the same seed gives the same records, record i for any count and batch size.

        Args:
            count: Number of records.
            labels: Labels that every record shall have; nothing is known of the others.
            age: Years.
            sex: "male" or "female".
            conditions: The condition of each record, in place of count, labels, age and sex; see `conditions_like`.
            seconds: Length of each record.
            seed: A seed, or a generator that one is drawn from.
            guidance: Weight of the condition: 1 is the prior's own distribution, more exaggerates the condition.
            temperature: Below 1 samples are more typical and less diverse.
            top_k: Only the k most probable codes are drawn; None for all.
            top_p: Only the most probable codes with this share of the probability are drawn.
            steps: Number of network evaluations; None for the prior's own.
            order: "uniform" or "confidence", of priors that draw several codes at a time.
            solver: Of priors over a latent: "ddpm", "ddim", "euler" or "heun"; None for the prior's own.
            prompt: A record whose first `keep` seconds every sample continues.
            keep: Seconds of the prompt, up to a whole number of frames.
            batch_size: Records that are drawn together on a GPU; on a CPU always 32.
            progress: Called with the number of records done and their total.

        Returns:
            Records with all leads of the autoencoder at its rate. Their comments say what generated them.

        Raises:
            ValueError: The prior does not know a label, lacks an option, or can't use the prompt; or a value is out of
                range.
        """
        settings = sampling_settings(guidance=guidance, temperature=temperature, top_k=top_k, top_p=top_p, steps=steps,
                                     order=order, solver=solver)
        one = Condition(as_labels(labels), age, sex)
        request = SampleRequest(as_conditions(count, conditions, one), seconds, as_seed(seed), settings, prompt, keep)
        return [sample.record for sample in self.draw(request, batch_size, progress)]

    def draw(self, request: SampleRequest, batch_size: int = GPU_BLOCK, progress: Progress = no_progress
             ) -> Iterator[Sample]:
        """Generates records one by one, with their conditions and tokens, in the memory of one block.

        Args:
            request: What is to be sampled.
            batch_size: Records that are drawn together on a GPU; on a CPU always 32.
            progress: Called with the number of records done and their total.

        Raises:
            ValueError: As for `sample`.
        """
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size is {quote(batch_size)}; wanted a whole number above 0")
        conditions = [self.check_condition(condition) for condition in request.conditions]
        self.check_options(request.settings, conditions)
        samples = round(request.seconds * self.decoder.signal.rate)
        if samples < 1:
            raise ValueError(f"seconds is {request.seconds:g}; wanted a sample at {self.decoder.signal.rate:g} Hz")
        kept = 0 if request.prompt is None else self.kept_frames(request.keep)
        given = None if request.prompt is None else self.decoder.encode(request.kept_part, kept).to(self.module.device)
        block = CPU_BLOCK if self.module.device.type == "cpu" else batch_size
        return self._draw_blocks(request, conditions, samples, given, kept * self.module.hop / self.decoder.signal.rate,
                                 block, progress)

    def _draw_blocks(self, request: SampleRequest, conditions: list[Condition], samples: int, given: Tensor | None,
                     kept_seconds: float, block: int, progress: Progress) -> Iterator[Sample]:
        total, frames = len(conditions), -(-samples // self.module.hop)
        for first in range(0, total, block):
            own = conditions[first:first + block]
            drawn = self.module.sample(block, frames, self.condition_vectors(own, block),
                                       block_generator(request.seed, first), request.settings,
                                       None if given is None else given.expand(block, -1, -1))
            for index, (item, condition) in enumerate(zip(drawn, own, strict=False), first):
                origin = Origin(self.name, self.identity, self.decoder.name, self.decoder.identity, request.seed, index)
                comments = sample_comments(origin, request, condition, self.condition, kept_seconds)
                yield self.decoder.decode(item, samples, f"{index:05d}", comments, condition)
                progress(index + 1, total)

    def check_condition(self, condition: Condition) -> Condition:
        """The condition with this prior's names of its labels; ValueError for one that it does not know."""
        return condition.checked(self.condition, self.name)

    def check_options(self, settings: SamplingSettings, conditions: Sequence[Condition]) -> None:
        """Raises ValueError for options that this kind of prior lacks, and for guidance without a condition."""
        if lacking := sorted(settings.changed - self.options):
            has = f"it has {', '.join(sorted(self.options))}" if self.options else "it has no options"
            raise ValueError(f"{self.name} is of kind {self.kind}, which has no option {lacking[0]}; {has}")
        if "guidance" in settings.changed and all(condition == Condition() for condition in conditions):
            raise ValueError(f"guidance is {settings.guidance:g} without a condition; wanted labels, age or sex")

    def condition_vectors(self, conditions: Sequence[Condition], count: int) -> Tensor | None:
        """The vectors (count, k) of conditions, repeated up to a count; None if the prior has no condition."""
        if self.condition is None:
            return None
        vectors = [condition.vector(self.condition) for condition in conditions]
        rows = (vectors * -(-count // len(vectors)))[:count]
        return torch.tensor(rows, dtype=torch.float32, device=self.module.device)

    def kept_frames(self, seconds: float) -> int:
        """The number of whole frames in the first seconds of a prompt; ValueError if there are none."""
        rate, hop = self.decoder.signal.rate, self.module.hop
        frames = int(seconds * rate + 1e-6) // hop
        if not frames:
            raise ValueError(f"keep is {seconds:g} s; wanted at least a frame of {hop / rate:g} s")
        return frames

    @torch.no_grad()
    def log_prob(self, item: Tokens | Record | RecordFile, labels: Sequence[str] = (), age: float | None = None,
                 sex: str | None = None) -> tuple[np.ndarray, ...]:
        """The log-probability of every code in nats, given all before it: an array (n,) for each codebook.

        Args:
            item: Tokens of this prior's tokenizer, or a record, which is encoded.
            labels, age, sex: The condition, as in `sample`.

        Raises:
            ValueError: This kind of prior has no exact probabilities, or it can't use the tokens or the record.
        """
        decoder, module = self._tokens, self.module
        assert isinstance(module, TokenPrior)
        if isinstance(item, Record | RecordFile):
            item = decoder.tokenizer.encode(item, codebooks=len(module.layout.codebooks))
        if not isinstance(item, Tokens):
            raise ValueError(f"got {quote(item)}; wanted Tokens or a record")
        condition = self.check_condition(Condition(as_labels(labels), age, sex))
        frames = decoder.frames(item).to(module.device)
        log_probs = module.log_prob(frames, self.condition_vectors([condition], 1))
        return tuple(row[0].cpu().numpy() for row in module.layout.unpack(log_probs, item.samples))
