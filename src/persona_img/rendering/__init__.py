"""Rendering: photo and style in, variant and proof out. The product's own pixels survive."""
