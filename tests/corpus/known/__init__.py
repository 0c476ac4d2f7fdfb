"""Causes against which the rules may be looked at."""
