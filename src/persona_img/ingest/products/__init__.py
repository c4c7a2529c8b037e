"""What a shop sells: tables and photos of it checked whole, then put on the shelf."""
