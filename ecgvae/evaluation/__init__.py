"""Measurements of trained models: reconstruction, denoising, likelihood, samples, and a linear probe."""
