"""The stand-ins answer as MusicBrainz and Last.fm are documented to: in XML and in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import httpx2
import pytest

from dlq.demo.catalogue import CatalogueTrack
from dlq.demo.providers import LastFMStandIn, MusicBrainzStandIn
from scrapers.providers import LastFM, MusicBrainz, ProviderConfig, Track

PLAIN = CatalogueTrack("Deadmau5", "Strobe", "Progressive House")
MARKUP = CatalogueTrack("Simon & <Garfunkel>", "</title>]]><!-- \"x\" 'y' &amp; <b/>", "R&B <x>")
ENTITY = CatalogueTrack("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>", "&e; &lt;", "x")
FOREIGN = CatalogueTrack("Björk 🎛 日本", "Ünïcödé \u202e {x}", "House")
LINES = CatalogueTrack("Two\nlines", "Tab\there", "House")
CONTROLS = CatalogueTrack("a\x00b", "c\x1b[2J\ufffed", "Hou\x08se")
GARBLED = CatalogueTrack("Garbled", "Answer", "House")
WHOLE = (PLAIN, MARKUP, ENTITY, FOREIGN, LINES)
TRACKS = (*WHOLE, CONTROLS, GARBLED)

MMD = "{http://musicbrainz.org/ns/mmd-2.0#}"
EXT = "{http://musicbrainz.org/ns/ext#-2.0}"
AGENT = "SongNodes/1.0 ( tests@example.org )"
USAGE = "For usage, please see: https://musicbrainz.org/development/mmd"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture
def musicbrainz() -> Iterator[MusicBrainzStandIn]:
    garbled = frozenset({GARBLED.key})
    with MusicBrainzStandIn(TRACKS, requests_per_s=100.0, garbled=garbled) as server:
        yield server.start()


@pytest.fixture
def lastfm() -> Iterator[LastFMStandIn]:
    with LastFMStandIn(TRACKS, api_key="key") as server:
        yield server.start()


@pytest.fixture
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(headers={"User-Agent": AGENT}, timeout=5.0) as client:
        yield client


def search(track: CatalogueTrack) -> str:
    title, artist = (
        text.replace("\\", r"\\").replace('"', r"\"") for text in (track.title, track.artist)
    )
    return f'recording:"{title}" AND artist:"{artist}"'


def ask_musicbrainz(
    http: httpx2.Client, server: MusicBrainzStandIn, query: str, accept: str = "*/*", **more: str
) -> httpx2.Response:
    return http.get(
        f"{server.url}/ws/2/recording", params={"query": query, **more}, headers={"Accept": accept}
    )


def ask_lastfm(
    http: httpx2.Client, server: LastFMStandIn, track: CatalogueTrack = PLAIN, /, **more: str
) -> httpx2.Response:
    asked = {"method": "track.getInfo", "artist": track.artist, "track": track.title}
    return http.get(f"{server.url}/2.0/", params={**asked, "api_key": "key", **more})


def tree(response: httpx2.Response) -> ElementTree.Element:
    assert "xml" in response.headers["Content-Type"]
    assert response.content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
    return ElementTree.fromstring(response.content)


def words(root: ElementTree.Element) -> list[str | None]:
    return [element.text for element in root.findall("text")]


# --- MusicBrainz -------------------------------------------------------------------------


@pytest.mark.parametrize("track", WHOLE, ids=ascii)
def test_musicbrainz_says_the_same_in_xml_and_in_json(
    http: httpx2.Client, musicbrainz: MusicBrainzStandIn, track: CatalogueTrack
) -> None:
    root = tree(ask_musicbrainz(http, musicbrainz, search(track)))
    [said] = ask_musicbrainz(http, musicbrainz, search(track), fmt="json").json()["recordings"]
    assert (root.tag, set(root.keys())) == (f"{MMD}metadata", {"created"})
    [found] = root
    assert (found.tag, found.attrib) == (f"{MMD}recording-list", {"count": "1", "offset": "0"})
    [recording] = found
    assert recording.attrib == {"id": said["id"], f"{EXT}score": "100"}
    assert recording.findtext(f"{MMD}title") == said["title"] == track.title
    assert recording.findtext(f"{MMD}length") == str(said["length"])
    assert recording.findtext(f"{MMD}first-release-date") == said["first-release-date"]
    [credit] = recording.findall(f"{MMD}artist-credit/{MMD}name-credit")
    [artist] = credit.findall(f"{MMD}artist")
    assert credit.findtext(f"{MMD}name") == track.artist
    assert artist.findtext(f"{MMD}sort-name") == track.artist
    assert artist.get("id") == said["artist-credit"][0]["artist"]["id"]


def test_a_search_that_finds_nothing_is_an_empty_list_in_both_forms(
    http: httpx2.Client, musicbrainz: MusicBrainzStandIn
) -> None:
    query = 'recording:"no" AND artist:"body"'
    [found] = tree(ask_musicbrainz(http, musicbrainz, query))
    assert (found.get("count"), len(found)) == ("0", 0)
    said = ask_musicbrainz(http, musicbrainz, query, fmt="json").json()
    assert (said["count"], said["recordings"]) == (0, [])


@pytest.mark.parametrize(
    ("accept", "asked", "content_type"),
    [
        ("*/*", {}, "application/xml; charset=UTF-8"),
        ("", {}, "application/xml; charset=UTF-8"),
        (BROWSER, {}, "application/xml; charset=UTF-8"),
        ("application/json", {}, "application/json; charset=utf-8"),
        ("application/xml;q=0.5, application/json", {}, "application/json; charset=utf-8"),
        ("application/json;q=0.1, */*", {}, "application/xml; charset=UTF-8"),
        ("application/json", {"fmt": "xml"}, "application/xml; charset=UTF-8"),
        ("application/xml", {"fmt": "json"}, "application/json; charset=utf-8"),
    ],
)
def test_fmt_goes_before_accept_and_without_either_it_is_xml(
    http: httpx2.Client,
    musicbrainz: MusicBrainzStandIn,
    accept: str,
    asked: dict[str, str],
    content_type: str,
) -> None:
    response = ask_musicbrainz(http, musicbrainz, search(PLAIN), accept, **asked)
    assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)


@pytest.mark.parametrize(
    ("accept", "asked"), [("application/json", {"fmt": "unicorn"}), ("image/png", {})]
)
def test_a_form_that_there_is_not_is_refused_in_xml(
    http: httpx2.Client, musicbrainz: MusicBrainzStandIn, accept: str, asked: dict[str, str]
) -> None:
    response = ask_musicbrainz(http, musicbrainz, search(PLAIN), accept, **asked)
    assert response.status_code == 406
    reason, usage = words(tree(response))
    assert str(reason).startswith("Invalid format. Either set an Accept header")
    assert usage == USAGE


def test_musicbrainz_refuses_with_the_same_status_and_words_in_both_forms(
    http: httpx2.Client, musicbrainz: MusicBrainzStandIn
) -> None:
    with MusicBrainzStandIn(TRACKS, requests_per_s=0.0) as strict:
        strict.start()
        assert ask_musicbrainz(http, strict, search(PLAIN)).status_code == 200
        assert_refused_alike(http, strict, 503, "Your requests are exceeding", search(PLAIN))
        assert ask_musicbrainz(http, strict, "").headers["Retry-After"] == "1"
    assert_refused_alike(http, musicbrainz, 400, "Unable to parse search", "*")
    http.headers["User-Agent"] = "curl"
    assert_refused_alike(http, musicbrainz, 403, "Please set a meaningful", search(PLAIN))


def assert_refused_alike(
    http: httpx2.Client, server: MusicBrainzStandIn, status: int, text: str, query: str
) -> None:
    as_xml = ask_musicbrainz(http, server, query)
    as_json = ask_musicbrainz(http, server, query, fmt="json")
    root = tree(as_xml)
    said = as_json.json()
    assert as_xml.status_code == as_json.status_code == status
    assert root.tag == "error"
    assert words(root) == [said["error"], said["help"]]
    assert said["error"].startswith(text)
    assert said["help"] == USAGE


def test_a_garbled_answer_is_broken_in_both_forms(
    http: httpx2.Client, musicbrainz: MusicBrainzStandIn
) -> None:
    with pytest.raises(ElementTree.ParseError):
        tree(ask_musicbrainz(http, musicbrainz, search(GARBLED)))
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        ask_musicbrainz(http, musicbrainz, search(GARBLED), fmt="json").json()


# --- Last.fm -----------------------------------------------------------------------------


@pytest.mark.parametrize("track", WHOLE, ids=ascii)
def test_lastfm_says_the_same_in_xml_and_in_json(
    http: httpx2.Client, lastfm: LastFMStandIn, track: CatalogueTrack
) -> None:
    response = ask_lastfm(http, lastfm, track)
    assert response.headers["Content-Type"] == "text/xml; charset=utf-8"
    root = tree(response)
    assert (root.tag, root.attrib) == ("lfm", {"status": "ok"})
    [found] = root
    said: dict[str, Any] = ask_lastfm(http, lastfm, track, format="json").json()["track"]
    assert found.findtext("name") == said["name"] == track.title
    for name in ("url", "duration", "listeners", "playcount"):
        assert found.findtext(name) == said[name]
    assert found.findtext("artist/name") == said["artist"]["name"] == track.artist
    assert found.findtext("toptags/tag/name") == said["toptags"]["tag"][0]["name"]
    [streamable] = found.findall("streamable")
    assert (streamable.text, streamable.attrib) == ("0", {"fulltrack": "0"})


@pytest.mark.parametrize(
    ("asked", "status", "number", "message"),
    [
        ({"api_key": "wrong"}, 403, 10, "Invalid API key - You must be granted a valid key"),
        ({"method": "track.sing"}, 400, 3, "Invalid Method - No method with that name"),
        ({"track": "Nothing"}, 200, 6, "Track not found"),
    ],
)
def test_lastfm_fails_with_the_same_status_and_number_in_both_forms(
    http: httpx2.Client,
    lastfm: LastFMStandIn,
    asked: dict[str, str],
    status: int,
    number: int,
    message: str,
) -> None:
    as_xml = ask_lastfm(http, lastfm, **asked)
    as_json = ask_lastfm(http, lastfm, **asked, format="json")
    root = tree(as_xml)
    said = as_json.json()
    assert as_xml.status_code == as_json.status_code == status
    assert (root.tag, root.attrib) == ("lfm", {"status": "failed"})
    [error] = root
    assert (error.tag, error.attrib) == ("error", {"code": str(number)})
    assert (said["error"], said["message"]) == (number, error.text)
    assert said["message"].startswith(message)


def test_a_format_that_lastfm_has_not_is_error_5(
    http: httpx2.Client, lastfm: LastFMStandIn
) -> None:
    response = ask_lastfm(http, lastfm, format="yaml")
    assert response.status_code == 400
    assert tree(response)[0].attrib == {"code": "5"}


# --- both --------------------------------------------------------------------------------


def test_characters_that_xml_cannot_hold_do_not_break_it(
    http: httpx2.Client, musicbrainz: MusicBrainzStandIn, lastfm: LastFMStandIn
) -> None:
    root = tree(ask_musicbrainz(http, musicbrainz, search(CONTROLS)))
    assert root.findtext(f".//{MMD}title") == "c\ufffd[2J\ufffdd"
    root = tree(ask_lastfm(http, lastfm, CONTROLS))
    assert root.findtext("track/artist/name") == "a\ufffdb"
    assert root.findtext("track/toptags/tag/name") == "hou\ufffdse"


@pytest.mark.parametrize("track", [*WHOLE, CONTROLS], ids=ascii)
async def test_the_providers_clients_still_ask_for_json_and_get_it(
    musicbrainz: MusicBrainzStandIn, lastfm: LastFMStandIn, track: CatalogueTrack
) -> None:
    config = ProviderConfig(
        musicbrainz_url=musicbrainz.url,
        musicbrainz_contact="tests@example.org",
        lastfm_url=lastfm.url,
        lastfm_api_key="key",
    )
    asked = Track(track.artist, track.title)
    async with config.http_client() as http:
        assert (await MusicBrainz(config, http).enrich(asked))["title"] == track.title
        assert (await LastFM(config, http).enrich(asked))["tags"] == [track.genre.lower()]
