"""Causes that measure: whoever writes rules does not read these."""
