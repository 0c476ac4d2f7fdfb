"""Causes and labels that were written down, and kept, before any of them was classified."""
