"""Ready-made edits of product photos, each usable alone, each with a record of what it did."""
