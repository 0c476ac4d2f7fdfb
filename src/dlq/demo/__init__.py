"""`dlq demo`: the whole system on one machine, with providers that misbehave by a plan.

Everything is real except the providers: the manager and the worker are processes of their
own, the crawl is Scrapy's with the pipeline of this repository, and the four stand-ins
(`providers/`) answer over HTTP as the originals are documented to.
"""
