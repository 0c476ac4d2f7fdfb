"""The ways by which the applications of this part come to the function that fails.

From the callback of a consumer, under a decorator that measures, from a map over threads, as
one of several tasks: the cause is the same.
"""

from __future__ import annotations

from tests.corpus.book import App

_CONSUMER = App(
    "consumers/catalogue.py",
    """
    import asyncio
    import inspect


    class Consumer:
        def __init__(self, step):
            self.step = step

        def on_message(self, args):
            return self.process(*args)

        def process(self, *args):
            found = self.step(*args)
            if inspect.isawaitable(found):
                return asyncio.run(self._finished(found))
            return found

        async def _finished(self, found):
            return await found


    def consume(step, args):
        return Consumer(step).on_message(args)
    """,
)
_MEASURED = App(
    "consumers/measured.py",
    """
    import asyncio
    import functools
    import inspect
    import time


    def measured(step):
        @functools.wraps(step)
        def call(*args):
            start = time.monotonic()
            try:
                if inspect.iscoroutinefunction(step):
                    return asyncio.run(step(*args))
                return step(*args)
            finally:
                call.seconds = time.monotonic() - start
        return call


    def consume_measured(step, args):
        return measured(step)(*args)
    """,
)
_SPREAD = App(
    "consumers/spread.py",
    """
    import asyncio
    import inspect
    from concurrent.futures import ThreadPoolExecutor


    def one(step, args):
        if inspect.iscoroutinefunction(step):
            with asyncio.Runner() as runner:
                return runner.run(step(*args))
        return step(*args)


    def spread(step, args):
        with ThreadPoolExecutor(max_workers=2) as pool:
            return list(pool.map(lambda given: one(step, given), [args]))
    """,
)
_GATHERED = App(
    "consumers/gathered.py",
    """
    import asyncio
    import inspect


    async def one(step, args):
        if inspect.iscoroutinefunction(step):
            return await step(*args)
        return await asyncio.get_running_loop().run_in_executor(None, step, *args)


    async def all_of(step, args):
        return await asyncio.gather(one(step, args), asyncio.sleep(0))


    def gathered(step, args):
        return asyncio.run(all_of(step, args))
    """,
)
WAYS = (
    (_CONSUMER, "consume"),
    (_MEASURED, "consume_measured"),
    (_SPREAD, "spread"),
    (_GATHERED, "gathered"),
)
