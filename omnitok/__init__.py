"""Reproducible experiments with joint image-video tokenizers."""
