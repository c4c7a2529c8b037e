"""Shows each shopper segment the product picture that works for it, and proves that it works."""
