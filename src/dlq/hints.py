"""What to do about a group: from the runbook, and from what worked before; pure.

The runbook is the table below, by category and, where a provider is special, by provider. What
became of replays so far is said first where it says that replaying does not help.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from dlq.classify import Category

ENOUGH_TRIES = 3
"""So many replays without a success are no accident."""
GOOD_RATE = 0.8

_HOSTS = {
    "spotify": "api.spotify.com",
    "musicbrainz": "musicbrainz.org",
    "lastfm": "ws.audioscrobbler.com",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a group. Counts are of its closed replays."""

    category: str
    error_type: str
    fingerprint: str
    in_dlq: int = 0
    succeeded: int = 0
    failed: int = 0
    returned: int = 0
    fixed_in: str | None = None  # the release; empty: fixed, and not said where
    has_come_back: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """`do`: one sentence. `look`: where the cause may be, one sentence, when replays do not
    help. `steps` in order; `{host}` is the provider's, `{provider}` its name."""

    do: str
    look: str
    steps: tuple[str, ...]


_NETWORK = Advice(
    do="Check the network and DNS from where the pipeline runs; replay when they work again.",
    look="Look for a host, proxy or firewall that is still in the way.",
    steps=(
        "Check the network: docker compose exec scraper-orchestrator curl -I https://{host}",
        "Check DNS: docker compose exec scraper-orchestrator nslookup {host}",
        "Check the firewall, if the network is restricted.",
        "Replay when it answers.",
    ),
)

RUNBOOK: dict[tuple[str, str], Advice] = {
    (Category.RATE_LIMIT, "spotify"): Advice(
        do="Wait until Spotify's window resets, typically 30 seconds, then replay in batches.",
        look="Look at how often the pipeline asks Spotify, and at `dlq providers`.",
        steps=(
            "Wait for the window to reset: typically 30 seconds, or as `dlq providers` says.",
            "Replay: a job keeps to Spotify's pace by itself.",
            "If it happens daily, raise the delay between Spotify calls in the pipeline.",
        ),
    ),
    (Category.RATE_LIMIT, "musicbrainz"): Advice(
        do="MusicBrainz allows one request a second: look for a second process that asks it "
        "from this address, then replay slowly.",
        look="Look for a second process behind the same address, and for clock skew.",
        steps=(
            "Look for other processes that ask MusicBrainz from the same address.",
            "Check the clocks: skew between hosts undoes a limit that the pipeline keeps.",
            "Replay slowly: at 30 a minute while the pipeline also asks.",
        ),
    ),
    (Category.RATE_LIMIT, ""): Advice(
        do="Wait until the limit resets, then replay: a job keeps to the provider's pace.",
        look="Look for who else uses the same key or address, and at `dlq providers`.",
        steps=(
            "Wait for the limit to reset, as `dlq providers` says.",
            "Replay: a job keeps to the provider's pace by itself.",
            "If it happens daily, raise the delay between calls in the pipeline.",
        ),
    ),
    (Category.AUTH, ""): Advice(
        do="Correct the credentials first, then say that they are mended: what waits for them "
        "is replayed.",
        look="Look at whether the credentials are valid, active and allowed to do this.",
        steps=(
            'Check .env: grep -E "(SPOTIFY_CLIENT_ID|SPOTIFY_CLIENT_SECRET|LASTFM_API_KEY)" .env',
            (
                "Check the keys in the database: SELECT provider, key_name, is_active FROM "
                "api_keys WHERE provider IN ('spotify', 'musicbrainz', 'lastfm');"
            ),
            "Correct them, and restart what reads them.",
            "Say so: dlq providers mended {provider}",
        ),
    ),
    (Category.TIMEOUT, ""): _NETWORK,
    (Category.NETWORK, ""): _NETWORK,
    (Category.SERVER_ERROR, ""): Advice(
        do="It is the provider's fault: wait until it works again, then replay.",
        look="Look at the provider's status page, and whether it fails for this item alone.",
        steps=(
            "Look at the provider's status page, and at `dlq providers`.",
            "Replay when it works again; a canary tells.",
        ),
    ),
    (Category.NOT_FOUND, ""): Advice(
        do="The provider does not have it: correct the id or delete them; a replay alone will "
        "not help.",
        look="Look at whether the item was removed, or its id is wrong.",
        steps=(
            "Look at a sample: is the id right, and is it there?",
            "Correct the payload of what has a wrong id, and replay it.",
            "Delete what is gone.",
        ),
    ),
    (Category.RESOURCE, ""): Advice(
        do="Make room first (disk, memory, files, connections), then replay.",
        look="Look at what runs full where the work is done.",
        steps=(
            "Look at disk, memory, open files and connections where the worker runs.",
            "Make room, and restart what hangs.",
            "Replay with a canary.",
        ),
    ),
    (Category.INVALID_DATA, ""): Advice(
        do="The data are refused as they are: correct the payload, or the code that reads the "
        "answer, then replay.",
        look="Look at a sample's payload beside what the error says.",
        steps=(
            "Look at a sample: what was sent, and what was refused?",
            "Correct the payload, or the code that made it.",
            "Replay with a canary.",
        ),
    ),
    (Category.BUG, ""): Advice(
        do="Fix the code and deploy it, then mark the group as fixed and replay.",
        look="Look at the innermost frame of our own code in a sample's trace.",
        steps=(
            "Look at the trace of a sample: its innermost own frame is where it broke.",
            "Fix it, deploy it, and restart the workers.",
            "Mark the group as fixed in that release.",
            "Replay with a canary.",
        ),
    ),
    (Category.MALFORMED, ""): Advice(
        do="The message cannot be read: correct what publishes it; this one can only be edited "
        "or deleted.",
        look="Look at which service publishes it, and with which version.",
        steps=(
            "Look at a sample's raw body and at the service that published it.",
            "Correct the publisher.",
            "Edit the body into a message and replay it, or delete it.",
        ),
    ),
    (Category.UNKNOWN, ""): Advice(
        do="No rule knows this error: look at a sample, correct the group's category, then try "
        "a replay of a few.",
        look="Look at a sample's error and trace.",
        steps=(
            "Look at a sample: its error, its trace, its payload.",
            "Correct the group's category; it sticks to all that will come.",
            "Replay with a canary.",
        ),
    ),
}
"""By category and provider; an empty provider: any other. From the runbook's common error
patterns."""


def advice_for(category: str, error_type: str) -> Advice:
    """What the runbook says; of a category that it does not know, as of `unknown`."""
    return (
        RUNBOOK.get((category, error_type))
        or RUNBOOK.get((category, ""))
        or RUNBOOK[Category.UNKNOWN, ""]
    )


def hint(facts: Facts) -> str:
    """One or two sentences."""
    advice = advice_for(facts.category, facts.error_type)
    before = worked_before(facts)
    if facts.has_come_back:
        return f"It came back after it was resolved or fixed. {advice.look}"
    if facts.fixed_in is not None and facts.in_dlq:
        where = f" in {facts.fixed_in}" if facts.fixed_in else ""
        return f"It is marked as fixed{where}: replay what is left, with a canary."
    if _never_works(facts):
        return f"{before} {advice.look}"
    return f"{advice.do} {before}".rstrip()


def steps(facts: Facts) -> list[str]:
    """The runbook's steps, each a line, with the command of the replay as the last."""
    known = {
        "host": _HOSTS.get(facts.error_type, "the provider's host"),
        "provider": shlex.quote(facts.error_type),  # a producer's word, to be pasted in a shell
    }
    told = [_filled(step, known) for step in advice_for(facts.category, facts.error_type).steps]
    rate = " --rate 30/m" if _is_slow(facts) else ""
    where = shlex.quote(f"group:{facts.fingerprint}")
    replay = f"dlq replay --where {where} --canary 5{rate}"
    return [*told, f"The replay: {replay} --dry-run, and then without --dry-run."]


def worked_before(facts: Facts) -> str:
    """What replays of this group tell; empty if there were none."""
    tried = facts.succeeded + facts.failed
    if not tried:
        if not facts.returned:
            return ""
        return "Its replays came back unworked: start a worker that takes them."
    if _never_works(facts):
        return f"All {tried} replays of it failed again: fix the cause first."
    tries = "try" if tried == 1 else "tries"
    told = f"Replays of it succeeded in {facts.succeeded} of {tried} {tries}"
    if not facts.succeeded:
        return f"{told}."
    if facts.succeeded >= GOOD_RATE * tried:
        return f"{told}: replay it."
    return f"{told}: replay a few first."


def _never_works(facts: Facts) -> bool:
    return not facts.succeeded and facts.failed >= ENOUGH_TRIES


def _is_slow(facts: Facts) -> bool:
    return (facts.category, facts.error_type) == (Category.RATE_LIMIT, "musicbrainz")


def _filled(step: str, known: dict[str, str]) -> str:
    for name, value in known.items():
        step = step.replace(f"{{{name}}}", value)
    return step
