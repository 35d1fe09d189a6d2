"""Training: recipes, losses, augmentation, the optimizer and the training loop."""
