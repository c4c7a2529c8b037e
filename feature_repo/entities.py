"""Who and what features are about."""

from feast import Entity, ValueType

shopper = Entity(
    name="shopper",
    join_keys=["shopper"],
    value_type=ValueType.STRING,
    description="Someone who looks at products; a pseudonymous identifier.",
)

product = Entity(
    name="product",
    join_keys=["product"],
    value_type=ValueType.STRING,
    description="A thing for sale, as named in the catalogue.",
)
