"""Cards of models and priors: what each is, what it was trained on, and what was measured, as Markdown."""

from ecgvae.cards.models import model_card
from ecgvae.cards.priors import prior_card

__all__ = ["model_card", "prior_card"]
