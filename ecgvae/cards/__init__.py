"""Cards of models: what a model is, what it was trained on, and its errors, as Markdown."""

from ecgvae.cards.models import model_card

__all__ = ["model_card"]
