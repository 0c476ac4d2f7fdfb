"""The ways by which the applications of this part come to the function that fails."""

from __future__ import annotations

from tests.corpus.book import App

_CONSUMER = App(
    "app/consumer.py",
    """
    import asyncio
    import inspect


    class Consumer:
        def __init__(self, stage):
            self.stage = stage

        def on_message(self, body):
            return self.dispatch(body)

        def dispatch(self, body):
            if inspect.iscoroutinefunction(self.stage):
                return asyncio.run(self.stage(*body))
            return self.stage(*body)


    def consume(stage, body):
        return Consumer(stage).on_message(body)
    """,
)
_BACKFILL = App(
    "scripts/backfill.py",
    """
    import asyncio
    import inspect


    async def backfill_one(stage, row):
        if inspect.iscoroutinefunction(stage):
            return await stage(*row)
        return await asyncio.get_running_loop().run_in_executor(None, stage, *row)


    async def backfill(stage, rows):
        return await asyncio.gather(*(backfill_one(stage, row) for row in rows))


    def main(stage, row):
        return asyncio.run(backfill(stage, [row]))
    """,
)
_TASKS = App(
    "tasks/nightly.py",
    """
    import asyncio
    import contextlib
    import functools
    import inspect


    def logged(function):
        @functools.wraps(function)
        def wrapper(*args):
            with contextlib.ExitStack():
                return function(*args)

        return wrapper


    @logged
    def process(stage, row):
        if inspect.iscoroutinefunction(stage):
            loop = asyncio.new_event_loop()
            try:
                return loop.run_until_complete(stage(*row))
            finally:
                loop.close()
        return stage(*row)


    def nightly(stage, row):
        for _ in range(1):
            process(stage, row)
    """,
)
WAYS = (
    (_CONSUMER, "consume"),
    (_BACKFILL, "main"),
    (_TASKS, "nightly"),
    (_CONSUMER, "consume"),
)
