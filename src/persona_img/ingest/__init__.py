"""A shop's own interactions on their way in: read in pieces, checked, kept once."""
