"""A shop's own data on its way in: read, checked, every refused row named with its reason."""
