"""The ways by which the applications of this part come to the function that fails.

Called at once, from a thread of an event loop, from a pool of threads deeper in, or after
some tries: the cause is the same.
"""

from __future__ import annotations

from tests.corpus.book import App

_WORKER = App(
    "worker/main.py",
    """
    import asyncio
    import inspect


    def handle(step, args):
        if inspect.iscoroutinefunction(step):
            return asyncio.run(step(*args))
        return step(*args)


    async def handle_async(step, args):
        if inspect.iscoroutinefunction(step):
            task = asyncio.ensure_future(step(*args))
            return await task
        return await asyncio.to_thread(step, *args)


    def run_async(step, args):
        return asyncio.run(handle_async(step, args))
    """,
)
_BATCH = App(
    "worker/batch.py",
    """
    import asyncio
    import inspect
    from concurrent.futures import ThreadPoolExecutor


    def run_one(step, args):
        if inspect.iscoroutinefunction(step):
            return asyncio.run(asyncio.wait_for(step(*args), 30))
        return step(*args)


    def run_batch(step, batch):
        with ThreadPoolExecutor(max_workers=1) as pool:
            futures = [pool.submit(run_one, step, args) for args in batch]
            return [future.result() for future in futures]


    def run(step, args):
        return run_batch(step, [args])
    """,
)
_RETRY = App(
    "worker/retry.py",
    """
    import asyncio
    import inspect


    def attempt(step, args, tries_left):
        if tries_left:
            return attempt(step, args, tries_left - 1)
        if inspect.iscoroutinefunction(step):
            return asyncio.run(step(*args))
        return step(*args)


    def with_retries(step, args):
        return attempt(step, args, 3)
    """,
)
WAYS = (
    (_WORKER, "handle"),
    (_WORKER, "run_async"),
    (_BATCH, "run"),
    (_RETRY, "with_retries"),
)
