"""`python -m tests.corpus`: raise everything, and say how well it was understood."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from tests.corpus.parts import PARTS, causes_of, ways_of
from tests.corpus.report import Report
from tests.corpus.running import run
from tests.corpus.world import World


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all")
    parser.add_argument("--text", action="store_true", help="list what is wrong from text alone")
    parser.add_argument("--only", default="", help="causes whose name starts with this")
    parser.add_argument("--show", action="store_true", help="print each case")
    asked = parser.parse_args()
    parts = PARTS if asked.part == "all" else (asked.part,)
    with World() as world:
        if not asked.only:
            world.warm()
        for part in parts:
            causes = [cause for cause in causes_of(part) if cause.name.startswith(asked.only)]
            results = list(run(causes, ways_of(part), world))
            if asked.show:
                _write(f"{r.case}  {r.fingerprint}  {r.title}\n    {r.message}" for r in results)
            _write(Report(part, results).lines(text=asked.text))


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
