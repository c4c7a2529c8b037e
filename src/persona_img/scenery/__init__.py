"""What a product stands on and before: materials, scenes and the light on them, without models.

It lies under the generator, which learns from such sets, and under rendering, which builds them.
"""
