"""Training: recipes, objectives and the one loop."""
