"""Adapters to the frameworks that failures come from."""
