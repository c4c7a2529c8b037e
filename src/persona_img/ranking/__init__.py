"""Learned orderings of styles, policies over them, and the evidence for changing them."""
