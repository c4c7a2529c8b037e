"""Where a picture comes from: marks in it that survive copying, and what finds them again."""
