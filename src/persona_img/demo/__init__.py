"""The whole loop on real photos and simulated shoppers: the run, and how large it is."""

from persona_img.demo.run import Demo, DemoResult
from persona_img.demo.size import FULL, QUICK, DemoSize, spread

__all__ = ["FULL", "QUICK", "Demo", "DemoResult", "DemoSize", "spread"]
