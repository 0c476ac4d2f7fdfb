"""Failures that real libraries really raise, labelled by construction.

`book.py` says what a cause is, a folder a part (`parts.py`) holds them, `world.py` has the servers
that answer wrongly, `running.py` makes each cause fail and sends it down the product's own
path, `report.py` counts. Run it with `python -m tests.corpus`.
"""
