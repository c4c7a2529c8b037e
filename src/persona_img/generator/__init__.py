"""The small checkpoint: codec, denoiser, style encoder, their training and their pipeline."""
