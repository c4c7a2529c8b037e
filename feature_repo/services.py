"""The sets of features that are asked for together; a new set gets a new version."""

from feast import FeatureService
from on_demand import recency
from views import product_profile, shopper_profile, shopper_recent

serving_v1 = FeatureService(
    name="serving_v1",
    features=[shopper_profile, recency, shopper_recent],
    description="What is known of a shopper, online or at a moment in the past.",
)

ranking_v1 = FeatureService(
    name="ranking_v1",
    features=[shopper_profile, recency, shopper_recent, product_profile],
    description="What a ranker learns from: serving_v1 and the product.",
)
