"""Pixels without vendors of models: photos, colour, masks, light. Below rendering and generator.

Both need the same mask and the same light (what the generator learns to paint is what the
renderer completes), so these live under both instead of in either.
"""
