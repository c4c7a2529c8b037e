"""What is known of shoppers and products: factors, profiles, segments, and where they are kept.

``base`` is the port and the words of its columns; ``feast`` and ``frame`` keep and answer;
``factors``, ``profile`` and ``segments`` compute; ``features`` makes them flat for a ranker.
"""
