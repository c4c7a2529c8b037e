"""Simulated shoppers: a shop with hidden tastes, and its traffic. Never measured on people."""
