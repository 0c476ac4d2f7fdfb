"""Messages of other services and other languages: what they are taken for, from text alone."""

# ruff: noqa: E501 - messages as they come

from __future__ import annotations

import pytest

from dlq.classify import diagnose_text

TEXTS = {
    "rate_limit": [
        "Request failed with status code 429",
        "feign.FeignException$TooManyRequests: [429 Too Many Requests] during [GET] to [https://api.x.com/v1/tracks]",
        "An error occurred (ThrottlingException) when calling the PutItem operation: Rate exceeded",
        "An error occurred (SlowDown) when calling the PutObject operation (reached max retries: 4): Please reduce your request rate.",
        "rpc error: code = ResourceExhausted desc = Quota exceeded for quota metric 'Queries'",
        "Your requests are exceeding the allowable rate limit. Please see http://wiki.musicbrainz.org/XMLWebService for more information.",
        "Response status code does not indicate success: 429 (Too Many Requests).",
        "HTTP 403: Daily Limit Exceeded. The quota will be reset at midnight Pacific Time (PT).",
        "You have exceeded your API request allowance for today",
        'Error: 429 - {"error":{"status":429,"message":"API rate limit exceeded"}}',
        "Rate limit exceeded - Your IP has made too many requests in a short period",
        "usageLimits: userRateLimitExceeded",
        "googleapi: Error 403: Quota exceeded for quota group 'default', quotaExceeded",
        "Too many login attempts, please wait 60 seconds",
    ],
    "auth": [
        "java.nio.file.AccessDeniedException: /data/music",
        'Error: 401 Unauthorized - {"error":{"status":401,"message":"The access token expired"}}',
        'pq: password authentication failed for user "dlq"',
        'FATAL:  role "enricher" does not exist',
        'no pg_hba.conf entry for host "10.0.0.3", user "a", database "b", SSL off',
        "JsonWebTokenError: jwt malformed",
        "TokenExpiredError: jwt expired",
        "System.UnauthorizedAccessException: Access to the path '/x' is denied.",
        "An error occurred (ExpiredToken) when calling the GetObject operation: The provided token has expired.",
        "An error occurred (AccessDenied) when calling the GetObject operation: Access Denied",
        "Unable to locate credentials",
        "rpc error: code = Unauthenticated desc = invalid token",
        "(1045, \"Access denied for user 'root'@'localhost' (using password: YES)\")",
        "Login failed for user 'sa'.",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "NOAUTH Authentication required.",
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
        "error: invalid_client, error_description: Invalid client secret",
        '{"error":"invalid_grant","error_description":"Invalid refresh token"}',
        "API key not valid. Please pass a valid API key.",
        "Bad credentials",
        "Not authorized to perform this action",
        "invalid x-api-key",
    ],
    "timeout": [
        "java.net.SocketTimeoutException: Read timed out",
        "java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, request timed out after 30000ms.",
        'Get "https://api.spotify.com/v1/tracks": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
        "Error: timeout of 5000ms exceeded",
        "Error: ETIMEDOUT",
        "connect ETIMEDOUT 10.0.0.1:443",
        "net/http: TLS handshake timeout",
        "dial tcp 10.0.0.1:5432: i/o timeout",
        "The request was canceled due to the configured HttpClient.Timeout of 100 seconds elapsing.",
        "cURL error 28: Operation timed out after 30001 milliseconds with 0 bytes received",
        "(1205, 'Lock wait timeout exceeded; try restarting transaction')",
        "canceling statement due to lock timeout",
        "ERROR: canceling statement due to user request",
        "upstream request timeout",
        "<html><head><title>504 Gateway Time-out</title></head></html>",
        "Net::ReadTimeout with #<TCPSocket:(closed)>",
        "redis.exceptions.TimeoutError: Timeout reading from socket",
        "sqlite3.OperationalError: database is locked",
        "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
        "ffmpeg took too long and was killed after 120 s",
        "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms.",
        "UND_ERR_CONNECT_TIMEOUT",
        "HTTPSConnectionPool(host='musicbrainz.org', port=443): Max retries exceeded with url: / (Caused by ConnectTimeoutError(<urllib3.connection.HTTPSConnection object at 0x7f>, 'Connection to musicbrainz.org timed out. (connect timeout=5)'))",
    ],
    "network": [
        "java.net.ConnectException: Connection refused",
        "java.net.UnknownHostException: api.spotify.com",
        "javax.net.ssl.SSLHandshakeException: PKIX path building failed: unable to find valid certification path to requested target",
        "Error: connect ECONNREFUSED 127.0.0.1:5432",
        "Error: getaddrinfo ENOTFOUND api.spotify.com",
        "Error: getaddrinfo EAI_AGAIN api.spotify.com",
        "Error: socket hang up",
        "Error: read ECONNRESET",
        "dial tcp: lookup api.spotify.com: no such host",
        "dial tcp: lookup api.spotify.com on 10.0.0.2:53: no such host",
        "x509: certificate has expired or is not yet valid",
        'Get "https://x/": x509: certificate signed by unknown authority',
        'Get "http://x": EOF',
        "read tcp 10.0.0.1:33->10.0.0.2:443: read: connection reset by peer",
        "write tcp 10.0.0.1:33->10.0.0.2:443: use of closed network connection",
        "unexpected EOF",
        "error sending request for url (https://api/): error trying to connect: tcp connect error: Connection refused (os error 111)",
        "System.Net.Sockets.SocketException (111): Connection refused",
        "CERT_HAS_EXPIRED",
        "Error: certificate has expired",
        "Error: self signed certificate in certificate chain",
        "DEPTH_ZERO_SELF_SIGNED_CERT",
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
        "cURL error 6: Could not resolve host: api.spotify.com",
        "cURL error 60: SSL certificate problem: unable to get local issuer certificate",
        "cURL error 56: Recv failure: Connection reset by peer",
        "curl: (7) Failed to connect to localhost port 80",
        "TypeError: fetch failed",
        "TypeError: Failed to fetch",
        "java.io.IOException: Broken pipe",
        "java.io.IOException: Connection reset by peer",
        "java.net.NoRouteToHostException: No route to host",
        "org.apache.http.NoHttpResponseException: api.x.com:443 failed to respond",
        "SQLSTATE[HY000] [2002] Connection refused",
        "(2003, \"Can't connect to MySQL server on 'db' ([Errno 111] Connection refused)\")",
        "(2006, 'MySQL server has gone away')",
        'could not translate host name "db" to address: Name or service not known',
        "server closed the connection unexpectedly",
        "SSL SYSCALL error: EOF detected",
        "Error 111 connecting to localhost:6379. Connection refused.",
        "Error while reading from redis:6379 : (104, 'Connection reset by peer')",
        "rpc error: code = Unavailable desc = connection error",
        "HTTPSConnectionPool(host='api.spotify.com', port=443): Max retries exceeded with url: /v1/tracks/404 (Caused by NameResolutionError(\"<urllib3.connection.HTTPSConnection object at 0x7f>: Failed to resolve 'api.spotify.com' ([Errno -2] Name or service not known)\"))",
        "HTTPSConnectionPool(host='api.spotify.com', port=443): Max retries exceeded with url: /v1/x (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)')))",
        'Could not connect to the endpoint URL: "https://s3.eu-north-9.amazonaws.com/"',
        "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'",
        "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))",
        "Network is unreachable",
        "proxyconnect tcp: dial tcp 10.1.1.1:3128: connect: connection refused",
        "PROTOCOL_CONNECTION_LOST",
        "stream disconnected before completion",
    ],
    "not_found": [
        "HTTP Error 404: Not Found",
        "sql: no rows in result set",
        "java.io.FileNotFoundException: /data/a.flac (No such file or directory)",
        "Error: ENOENT: no such file or directory, open '/data/a.flac'",
        "open /data/a.flac: no such file or directory",
        "An error occurred (NoSuchKey) when calling the GetObject operation: The specified key does not exist.",
        "An error occurred (404) when calling the HeadObject operation: Not Found",
        "ActiveRecord::RecordNotFound: Couldn't find Track with 'id'=5",
        "rpc error: code = NotFound desc = track not found",
        'FATAL:  database "tracks" does not exist',
        "The artist you supplied could not be found",
        "No recordings matched the query",
        "http status: 404, code: -1 - https://api.spotify.com/v1/tracks/x: Non existing id: 'spotify:track:x', reason: None",
        "NOT_FOUND - no queue 'enrichment.x' in vhost '/'",
        "410 Gone",
        "Track has been removed from the catalogue",
    ],
    "server_error": [
        'HTTP 500: {"error":"oops"}',
        "java.io.IOException: Server returned HTTP response code: 503 for URL: https://api.x.com",
        "upstream connect error or disconnect/reset before headers. reset reason: overflow",
        "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>",
        "ERROR: deadlock detected",
        "(1213, 'Deadlock found when trying to get lock; try restarting transaction')",
        "could not serialize access due to concurrent update",
        "FATAL: the database system is starting up",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "CLUSTERDOWN The cluster is down",
        "The service is temporarily unavailable, please try again.",
        "We are currently down for maintenance",
        "rpc error: code = Internal desc = boom",
        "An error occurred (InternalError) when calling the GetObject operation (reached max retries: 4): We encountered an internal error. Please try again.",
        "INTERNAL_ERROR - something broke",
        "Service Offline - This service is temporarily offline. Try again later.",
    ],
    "resource": [
        "java.lang.OutOfMemoryError: Java heap space",
        "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",
        "Error: ENOSPC: no space left on device, write",
        "write /data/x: no space left on device",
        "accept tcp [::]:80: accept4: too many open files",
        "FATAL: sorry, too many clients already",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "signal: killed",
        "PHP Fatal error: Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes)",
        "Command '['ffmpeg']' died with <Signals.SIGKILL: 9>.",
        "database or disk is full",
        "CUDA out of memory. Tried to allocate 20.00 MiB",
        "std::bad_alloc",
        "(1040, 'Too many connections')",
        "No space left on device (os error 28)",
        "java.lang.OutOfMemoryError: unable to create new native thread",
        "Unable to allocate 2.50 GiB for an array with shape (1, 2)",
        'could not extend file "base/1/2": No space left on device',
        "max number of clients reached",
    ],
    "invalid_data": [
        "invalid character '<' looking for beginning of value",
        "json: cannot unmarshal string into Go struct field Track.bpm of type float64",
        "SyntaxError: Unexpected token < in JSON at position 0",
        "SyntaxError: Unexpected end of JSON input",
        "SyntaxError: Unexpected token '<', \"<!DOCTYPE \"... is not valid JSON",
        "com.fasterxml.jackson.core.JsonParseException: Unexpected character ('<' (code 60)): expected a valid value",
        "com.fasterxml.jackson.databind.exc.MismatchedInputException: Cannot deserialize value of type `int` from String",
        'java.lang.NumberFormatException: For input string: "fast"',
        'strconv.Atoi: parsing "x": invalid syntax',
        "missing field `artist` at line 1 column 20",
        'ERROR: duplicate key value violates unique constraint "tracks_pkey"',
        "(1062, \"Duplicate entry '5' for key 'PRIMARY'\")",
        "SQLSTATE[23000]: Integrity constraint violation: 1062 Duplicate entry",
        "Invalid mbid.",
        "parameter 'inc' is invalid: 400 Bad Request",
        "not well-formed (invalid token): line 1, column 2",
        "Response body is not JSON: text/html",
        "Invalid data found when processing input",
        'ValidationError: "bpm" must be a number',
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but current is the value '1'",
        "value too long for type character varying(20)",
        'invalid input syntax for type integer: "abc"',
        'null value in column "title" of relation "tracks" violates not-null constraint',
        "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        "Unexpected mimetype: text/html",
        "File is not a zip file",
        "error while decoding stream #0:0: Invalid data found",
        "413 Request Entity Too Large",
        "could not convert string to float: 'fast'",
        "time data 'yesterday' does not match format '%Y-%m-%d'",
        "http: request body too large",
    ],
    "bug": [
        "TypeError: Cannot read properties of undefined (reading 'id')",
        "TypeError: Cannot read property 'id' of null",
        "ReferenceError: artist is not defined",
        "RangeError: Maximum call stack size exceeded",
        "TypeError: track.map is not a function",
        'java.lang.NullPointerException: Cannot invoke "String.length()" because "<local1>" is null',
        "java.lang.ClassCastException: class java.lang.String cannot be cast to class java.lang.Integer",
        "java.lang.ArrayIndexOutOfBoundsException: Index 3 out of bounds for length 3",
        "java.lang.NoClassDefFoundError: com/x/Y",
        "java.lang.ClassNotFoundException: com.x.Y",
        "panic: runtime error: index out of range [3] with length 3",
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "panic: assignment to entry in nil map",
        "runtime error: integer divide by zero",
        "interface conversion: interface {} is nil, not string",
        "fatal error: all goroutines are asleep - deadlock!",
        "thread 'main' panicked at 'called `Option::unwrap()` on a `None` value', src/main.rs:2",
        "System.NullReferenceException: Object reference not set to an instance of an object.",
        "NoMethodError: undefined method `name' for nil:NilClass",
        "PHP Fatal error: Uncaught Error: Call to a member function getId() on null",
        "Undefined index: artist",
        "KeyError: 'rate limit exceeded'",
        "AttributeError: 'NoneType' object has no attribute 'get'",
        "unhashable type: 'dict'",
        "list indices must be integers or slices, not str",
        'relation "tracks" does not exist',
        'ERROR:  column "bmp" does not exist',
        'syntax error at or near "SELEC"',
        "local variable 'x' referenced before assignment",
        'can only concatenate str (not "int") to str',
        "'<' not supported between instances of 'str' and 'int'",
        "dictionary changed size during iteration",
        "an integer is required (got type str)",
        "string indices must be integers, not 'str'",
        "expected str, bytes or os.PathLike object, not NoneType",
    ],
    "unknown": [
        'Could not enrich track "Connection Refused"',
        "Failed to process item 404",
        'giving up on "Time Out" by Dave Brubeck',
        "Enrichment of 'Forbidden' by 'Unauthorized' failed",
        'artist "Rate Limit" skipped',
        "enrichment failed",
        "task failed with code 7",
        "Command '['ffmpeg', '-i', 'timeout.mp3']' returned non-zero exit status 1.",
        "Something went wrong",
        "oops",
        "retrying 3 of 3",
        "gave up on “Network Error”",
        "processing of «Not Found» failed",
        "rejected",
    ],
}


@pytest.mark.parametrize(
    ("category", "text"), [(category, text) for category, texts in TEXTS.items() for text in texts]
)
def test_a_message_alone_is_enough(category: str, text: str) -> None:
    found = diagnose_text(text)
    assert found.category == category, found.rule


JAVA = """java.lang.RuntimeException: enrichment failed
\tat com.songs.Enricher.run(Enricher.java:31)
\tat java.base/java.lang.Thread.run(Thread.java:829)
Caused by: java.util.concurrent.ExecutionException: com.songs.Failed: it failed
\tat com.songs.Client.get(Client.java:12)
Caused by: java.net.UnknownHostException: api.spotify.com
\t... 12 more"""

GO = """panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.enrich(...)
\t/app/main.go:12"""


@pytest.mark.parametrize(
    ("category", "message", "trace"),
    [
        ("network", "enrichment failed", JAVA),
        ("network", "", JAVA),
        ("bug", "", GO),
        ("unknown", "enrichment failed", "at com.songs.Enricher.run(Enricher.java:31)"),
    ],
)
def test_the_trace_of_another_language_is_read_for_its_cause(
    category: str, message: str, trace: str
) -> None:
    assert diagnose_text(message, stack_trace=trace).category == category


def test_a_class_in_words_says_less_than_one_that_was_raised() -> None:
    assert diagnose_text("TypeError: fetch failed").category == "network"  # Node's
    assert diagnose_text("fetch failed", error_class="TypeError").category == "bug"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("429 Too Many Requests, try again in 30 s", 30.0),
        ("Rate limit exceeded. Retry again after 2 min", 120.0),
        ("429 Too Many Requests; Retry-After=7", 7.0),
        ("429 Too Many Requests; retry after a while", None),
    ],
)
def test_how_long_to_wait_is_read_from_words(text: str, seconds: float | None) -> None:
    assert diagnose_text(text).retry_after_s == seconds
