"""Features that depend on the moment of the question, the same in training and online."""

from typing import Any

from feast import Field
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64
from sources import moment
from views import shopper_profile


@on_demand_feature_view(
    name="recency",
    sources=[shopper_profile[["last_seen_at"]], moment],
    schema=[Field(name="days_since_seen", dtype=Float64)],
    mode="python",
)
def recency(inputs: dict[str, Any]) -> dict[str, Any]:
    """Days from the profile's last interaction to the moment of the question."""
    return {
        "days_since_seen": [
            None if seen is None or seen != seen else (now - seen) / 86400
            for seen, now in zip(inputs["last_seen_at"], inputs["now"], strict=True)
        ]
    }
