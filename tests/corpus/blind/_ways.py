"""The ways by which the applications of this part come to the function that fails.

From a pipeline of stages, under a semaphore with a deadline, from a thread with a queue, or in a
group of tasks: the cause is the same.
"""

from __future__ import annotations

from tests.corpus.book import App

_PIPELINE = App(
    "enrichment/pipeline.py",
    """
    import asyncio
    import inspect


    class Pipeline:
        def __init__(self, *stages):
            self.stages = stages

        def process_item(self, item):
            for stage in self.stages:
                found = stage(*item)
                if inspect.isawaitable(found):
                    found = asyncio.run(self.awaited(found))
            return found

        async def awaited(self, found):
            return await found


    def enrich(stage, item):
        return Pipeline(stage).process_item(item)
    """,
)
_LIMITED = App(
    "enrichment/limited.py",
    """
    import asyncio
    import inspect


    async def one_of(places, stage, item):
        async with places:
            if inspect.iscoroutinefunction(stage):
                return await stage(*item)
            return stage(*item)


    async def all_items(stage, items):
        places = asyncio.Semaphore(2)
        return [await one_of(places, stage, item) for item in items]


    def limited(stage, item):
        return asyncio.run(all_items(stage, [item]))
    """,
)
_THREADED = App(
    "enrichment/threaded.py",
    """
    import asyncio
    import inspect
    import queue
    import threading


    def serve(stage, items, outcomes):
        item = items.get()
        try:
            if inspect.iscoroutinefunction(stage):
                outcomes.put((asyncio.run(stage(*item)), None))
            else:
                outcomes.put((stage(*item), None))
        except Exception as error:
            outcomes.put((None, error))


    def threaded(stage, item):
        items, outcomes = queue.Queue(), queue.Queue()
        items.put(item)
        thread = threading.Thread(target=serve, args=(stage, items, outcomes))
        thread.start()
        thread.join()
        found, error = outcomes.get()
        if error is not None:
            raise error
        return found
    """,
)
_TIMES = App(
    "enrichment/times.py",
    """
    import asyncio
    import functools
    import inspect


    def times(count):
        def decorated(stage):
            @functools.wraps(stage)
            def repeated(*item):
                for left in range(count, 0, -1):
                    try:
                        if inspect.iscoroutinefunction(stage):
                            return asyncio.run(stage(*item))
                        return stage(*item)
                    except Exception:
                        if left == 1:
                            raise
            return repeated
        return decorated


    def once(stage, item):
        return times(1)(stage)(*item)
    """,
)
WAYS = (
    (_PIPELINE, "enrich"),
    (_LIMITED, "limited"),
    (_THREADED, "threaded"),
    (_TIMES, "once"),
)
