"""Who paints plates: a checkpoint, real tiles, their noise, a sweep, anybody's pipeline.

Each is a ``BackdropSource`` of ``rendering/base.py``; ``material`` lays what they start from.
"""
