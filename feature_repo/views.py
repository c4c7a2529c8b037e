"""Features by entity. All numbers are Float64, so that a missing one is NaN everywhere."""

from datetime import timedelta

from entities import product, shopper
from feast import FeatureView, Field
from feast.types import Array, Float32, Float64, String
from sources import product_snapshots, shopper_events, shopper_snapshots

# A profile holds until the next one replaces it.
_NO_EXPIRY = timedelta(0)

shopper_profile = FeatureView(
    name="shopper_profile",
    entities=[shopper],
    ttl=_NO_EXPIRY,
    schema=[
        Field(name="segment", dtype=String, description="Group of at least k shoppers"),
        Field(name="views", dtype=Float64, description="Products looked at, ever"),
        Field(name="carts", dtype=Float64, description="Products put in the cart, ever"),
        Field(name="purchases", dtype=Float64, description="Products bought, ever"),
        Field(name="active_days", dtype=Float64, description="UTC days with an interaction"),
        Field(name="events_30d", dtype=Float64, description="Interactions of the last 30 days"),
        Field(name="first_seen_at", dtype=Float64, description="Unix seconds"),
        Field(name="last_seen_at", dtype=Float64, description="Unix seconds"),
        Field(name="price_level", dtype=Float64, description="Mean price rank in the shop, 0 to 1"),
        Field(name="favourite_category", dtype=String, description="Category with most interest"),
        Field(name="favourite_share", dtype=Float64, description="Its share of the interest"),
        Field(name="categories", dtype=Array(String), description="All of interest, most first"),
        Field(name="category_shares", dtype=Array(Float32), description="Their shares, sum 1"),
        Field(name="factors", dtype=Array(Float32), description="Implicit ALS, 16 numbers"),
    ],
    source=shopper_snapshots,
    online=True,
)

shopper_recent = FeatureView(
    name="shopper_recent",
    entities=[shopper],
    ttl=_NO_EXPIRY,
    schema=[
        Field(name="recent_kind", dtype=String, description="view, cart or purchase"),
        Field(name="recent_product", dtype=String, description="What it was about"),
        Field(name="recent_at", dtype=Float64, description="Unix seconds"),
    ],
    source=shopper_events,
    online=True,
)

product_profile = FeatureView(
    name="product_profile",
    entities=[product],
    ttl=_NO_EXPIRY,
    schema=[
        Field(name="category", dtype=String),
        Field(name="price", dtype=Float64, description="In the shop's currency"),
        Field(name="popularity", dtype=Float64, description="Share of all interest, sum 1"),
        Field(name="product_views", dtype=Float64),
        Field(name="product_carts", dtype=Float64),
        Field(name="product_purchases", dtype=Float64),
        Field(name="product_factors", dtype=Array(Float32), description="Implicit ALS, 16 numbers"),
    ],
    source=product_snapshots,
    # Read in training only; what is shown is decided ahead of time, per segment and product.
    online=False,
)
