"""The loop, against ports: profile, prepare, analyse, retrain. Nothing here knows a vendor."""

from persona_img.loop.learning import (
    Learned,
    fresh_events,
    lean,
    learn,
    log_analysis,
    retrain,
)
from persona_img.loop.preparing import (
    Prepared,
    Rendered,
    Slates,
    decide,
    personal,
    photo_of,
    plan,
    prepare,
    render,
    variant_seed,
)
from persona_img.loop.profiling import Profiled, profile

__all__ = [
    "Learned",
    "Prepared",
    "Profiled",
    "Rendered",
    "Slates",
    "decide",
    "fresh_events",
    "lean",
    "learn",
    "log_analysis",
    "personal",
    "photo_of",
    "plan",
    "prepare",
    "profile",
    "render",
    "retrain",
    "variant_seed",
]
