"""Pure values: styles, products, variants, decisions, feedback. No vendor is imported here."""
