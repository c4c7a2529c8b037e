"""Decides what each shopper sees, over HTTP, and keeps a log that loses and doubles nothing."""
