"""The values of the config.json of a model or a prior, as they are checked when it is read."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ecgvae.signal import SignalSpec
from ecgvae.signal.amplitudes import Amplitudes

MAX_SLOTS = 1 << 12             # codes of a frame of a prior
Identity = Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")]


class Block(BaseModel):
    """A block of config.json. Unknown keys, which a later version may write, are ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)


class CodebookFacts(Block):
    """Hop in samples and number of codes of a codebook."""

    hop: int = Field(ge=1, le=1 << 32)
    size: int = Field(ge=1, le=1 << 32)


class Facts(Block):
    """Facts about the model, which can be read without loading it."""

    parameters: int = Field(ge=0, le=1 << 48)
    hop: int = Field(ge=1, le=1 << 32)
    latent: int = Field(ge=1, le=1 << 32)
    codebooks: list[CodebookFacts] = Field(max_length=1024)


class ModelConfig(Block):
    """All of config.json; files of earlier versions lack what is optional. `model` is checked when it is built."""

    format: int
    model: Any
    identity: Identity | None = None
    earlier_identities: list[Identity] = []
    weights_sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    facts: Facts | None = None
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    amplitudes: Amplitudes | None = None
    versions: dict[str, Any] = {}


class LatentFacts(Block):
    """Hop in samples and numbers of a frame of a continuous latent."""

    hop: int = Field(ge=1, le=1 << 32)
    channels: int = Field(ge=1, le=1 << 32)


class PriorAutoencoder(Block):
    """The autoencoder of a prior, and those of its codebooks, or the latent, that the prior is over."""

    name: str = Field(min_length=1, max_length=1000)
    identity: Identity
    codebooks: list[CodebookFacts] = Field([], max_length=1024)
    latent: LatentFacts | None = None

    @model_validator(mode="after")
    def _check_size(self):
        if bool(self.codebooks) == (self.latent is not None):
            raise ValueError("codebooks and a latent, or none of them; wanted one")
        longest = max((spec.hop for spec in self.codebooks), default=1)
        if sum(longest // spec.hop for spec in self.codebooks) > MAX_SLOTS:
            raise ValueError(f"codebooks with too many codes in {longest} samples; wanted at most {MAX_SLOTS}")
        return self


class PriorFacts(Block):
    """Facts about a prior, which can be read without loading it."""

    parameters: int = Field(ge=0, le=1 << 48)
    hop: int = Field(ge=1, le=1 << 32)


class PriorConfig(Block):
    """All of config.json of a prior. `prior` is checked when it is built."""

    format: int
    prior: Any
    autoencoder: PriorAutoencoder
    identity: Identity
    weights_sha256: str = Field(pattern="^[0-9a-f]{64}$")
    facts: PriorFacts
    training: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    amplitudes: Amplitudes | None = None
    versions: dict[str, Any] = {}


CONFIGS: dict[str, type[Block]] = {"model": ModelConfig, "prior": PriorConfig}


class BackboneHead(Block):
    """The kind of a backbone."""

    kind: str = Field("conv", max_length=100)


class ModelHead(Block):
    """What is read of the block `model` without building the model."""

    family: str = Field(max_length=100)
    signal: SignalSpec = SignalSpec()
    backbone: BackboneHead = BackboneHead()


class ConditionHead(Block):
    """What a prior can be asked for."""

    labels: list[str] = []
    column: str | list[str] = "superclass"
    age: bool = False
    sex: bool = False


class PriorHead(Block):
    """What is read of the block `prior` without building the prior."""

    kind: str = Field(max_length=100)
    condition: ConditionHead | None = None
