"""The small checkpoint: codec, denoiser, style encoder, and their pipeline."""
