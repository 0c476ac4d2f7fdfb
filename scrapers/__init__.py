"""The scrapers' side: the providers that tracks are enriched from, and the Scrapy pipelines.

Not part of the installed distribution; run from the checkout.
"""
