"""Causes written when the rules stood: a second look at what nobody thought of."""
