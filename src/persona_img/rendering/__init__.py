"""Rendering: photo and style in, variant and proof out. The product's own pixels survive.

``sources`` paint plates, ``proof`` measures; between them a photo is framed, lit and composed.
"""
