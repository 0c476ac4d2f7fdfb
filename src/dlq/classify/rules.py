"""The categories of failure, and the tables by which one is told from another; pure data.

A category says what an operator does about a failure, not where it was raised. Where two fit,
the earlier one wins: that is the order of `Category` and of the word table.
"""

from __future__ import annotations

from enum import StrEnum


class Category(StrEnum):
    """What kind of failure, by what should be done about it."""

    RATE_LIMIT = "rate_limit"
    AUTH = "auth"
    TIMEOUT = "timeout"
    NETWORK = "network"
    NOT_FOUND = "not_found"
    SERVER_ERROR = "server_error"
    RESOURCE = "resource"
    INVALID_DATA = "invalid_data"
    BUG = "bug"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


CATEGORIES = tuple(Category)

TRANSIENT = frozenset(
    {
        Category.RATE_LIMIT,
        Category.TIMEOUT,
        Category.NETWORK,
        Category.SERVER_ERROR,
        Category.RESOURCE,
    }
)
"""Where the same operation may succeed later with nothing changed."""

RATE_LIMIT, AUTH, TIMEOUT, NETWORK, NOT_FOUND, SERVER, RESOURCE, INVALID, BUG = CATEGORIES[:9]


# --- codes -------------------------------------------------------------------------------

STATUSES = {
    401: AUTH,
    402: AUTH,
    403: AUTH,
    404: NOT_FOUND,
    407: AUTH,
    408: TIMEOUT,
    410: NOT_FOUND,
    420: RATE_LIMIT,
    429: RATE_LIMIT,
    451: NOT_FOUND,
    504: TIMEOUT,
    509: RATE_LIMIT,  # bandwidth limit exceeded
    511: AUTH,
    522: TIMEOUT,  # 520 to 527 are Cloudflare's words about the server behind it
    523: NETWORK,
    524: TIMEOUT,
    525: NETWORK,
    526: NETWORK,
}
"""HTTP; other 4xx are invalid_data, other 5xx server_error."""

STATUSES_REFINED_BY_WORDS = {
    400: (RATE_LIMIT, AUTH),  # OAuth answers 400 invalid_client, invalid_grant
    401: (RATE_LIMIT,),
    403: (RATE_LIMIT,),
    500: (RATE_LIMIT,),
    503: (RATE_LIMIT,),  # MusicBrainz
}
"""Where the words of the answer may say more than the number, and what they may say."""

_LASTFM = (
    (2, INVALID, "Invalid service"),
    (3, INVALID, "Invalid method"),
    (4, AUTH, "Authentication failed"),
    (5, INVALID, "Invalid format"),
    (6, NOT_FOUND, "Not found or invalid parameters"),
    (7, INVALID, "Invalid resource"),
    (8, SERVER, "Operation failed"),
    (9, AUTH, "Invalid session key"),
    (10, AUTH, "Invalid API key"),
    (11, SERVER, "Service offline"),
    (13, INVALID, "Invalid method signature"),
    (14, AUTH, "Unauthorised token"),
    (16, SERVER, "Temporarily unavailable"),
    (17, AUTH, "Login required"),
    (26, AUTH, "Suspended API key"),
    (29, RATE_LIMIT, "Rate limit exceeded"),
)
LASTFM_CODES = {code: category for code, category, _ in _LASTFM}
LASTFM_NAMES = {code: name for code, _, name in _LASTFM}

ERRNOS = {
    **dict.fromkeys(("EACCES", "EPERM"), AUTH),
    **dict.fromkeys(("ETIMEDOUT", "ETIME"), TIMEOUT),
    **dict.fromkeys(
        (
            *("ECONNREFUSED", "ECONNRESET", "ECONNABORTED", "EPIPE", "ENETUNREACH"),
            *("EHOSTUNREACH", "ENETDOWN", "ENETRESET", "EHOSTDOWN", "ENOTCONN", "ESHUTDOWN"),
        ),
        NETWORK,
    ),
    "ENOENT": NOT_FOUND,
    **dict.fromkeys(
        (
            *("ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "EAGAIN"),
            *("EIO", "EROFS", "EADDRINUSE", "EADDRNOTAVAIL"),
        ),
        RESOURCE,
    ),
    **dict.fromkeys(("EFBIG", "EISDIR", "ENOTDIR", "ENAMETOOLONG", "EILSEQ"), INVALID),
}

SQLSTATES = {
    "08": NETWORK,
    "22": INVALID,
    "23": INVALID,
    "25": BUG,
    "28": AUTH,
    "40": SERVER,
    "42": BUG,
    "42501": AUTH,
    "53": RESOURCE,
    "55P03": TIMEOUT,  # lock not available
    "57": SERVER,
    "57014": TIMEOUT,  # statement timeout
    "58": SERVER,
    "XX": SERVER,
}
"""PostgreSQL, by code or by the code's class (its first two characters)."""

AMQP_CODES = {
    311: INVALID,
    320: NETWORK,
    402: NOT_FOUND,
    403: AUTH,
    404: NOT_FOUND,
    405: RESOURCE,
    406: INVALID,
    530: AUTH,
    541: SERVER,
}


# --- classes -----------------------------------------------------------------------------

DECISIVE_CLASSES = {
    **dict.fromkeys(
        (
            *("AttributeError", "TypeError", "KeyError", "IndexError", "NameError"),
            *("ImportError", "ModuleNotFoundError", "AssertionError", "RecursionError"),
            *("NotImplementedError", "ArithmeticError", "SyntaxError", "StopIteration"),
        ),
        BUG,
    ),
    **dict.fromkeys(("UndefinedTable", "UndefinedColumn", "UndefinedFunction"), BUG),
    **dict.fromkeys(("MemoryError", "QueueFull", "queue.Full", "BrokenProcessPool"), RESOURCE),
    **dict.fromkeys(("psycopg_pool.TooManyRequests", "TooManyConnections"), RESOURCE),
    **dict.fromkeys(("TimeoutError", "TimeoutExpired", "PoolTimeout", "ConnectTimeout"), TIMEOUT),
    **dict.fromkeys(("ReadTimeout", "WriteTimeout", "TCPTimedOutError"), TIMEOUT),
    **dict.fromkeys(("ReadTimeoutError", "ConnectTimeoutError", "AMQPHeartbeatTimeout"), TIMEOUT),
    **dict.fromkeys(("BlockedConnectionTimeout", "ServerTimeoutError"), TIMEOUT),
    **dict.fromkeys(("gaierror", "socket.gaierror", "herror", "NameResolutionError"), NETWORK),
    **dict.fromkeys(("DNSLookupError", "ClientConnectorDNSError"), NETWORK),
    **dict.fromkeys(("ConnectionRefusedError", "ConnectionResetError"), NETWORK),
    **dict.fromkeys(("ConnectionAbortedError", "BrokenPipeError", "IncompleteRead"), NETWORK),
    **dict.fromkeys(("SSLError", "SSLCertVerificationError", "ClientSSLError"), NETWORK),
    **dict.fromkeys(("ProbableAuthenticationError", "ProbableAccessDeniedError"), AUTH),
    **dict.fromkeys(("JSONDecodeError", "UnicodeError", "ValidationError"), INVALID),
    **dict.fromkeys(("IntegrityError", "DataError", "InvalidOperation", "ParseError"), INVALID),
    **dict.fromkeys(("ExpatError", "XMLSyntaxError", "UnpicklingError", "BadZipFile"), INVALID),
    **dict.fromkeys(("BadGzipFile", "zlib.error", "struct.error", "binascii.Error"), INVALID),
    **dict.fromkeys(("_csv.Error", "csv.Error", "LibsndfileError", "NoBackendError"), INVALID),
}
"""By qualified or last name. The class alone says it; words are not asked."""

TELLING_CLASSES = {
    **dict.fromkeys(("ConnectionError", "ConnectError", "ProxyError", "URLError"), NETWORK),
    **dict.fromkeys(("RemoteProtocolError", "ProtocolError", "ReadError", "WriteError"), NETWORK),
    **dict.fromkeys(("CloseError", "NetworkError", "TransportError", "BadStatusLine"), NETWORK),
    **dict.fromkeys(("ClientConnectionError", "ChunkedEncodingError", "MaxRetryError"), NETWORK),
    **dict.fromkeys(("ResponseNeverReceived", "ResponseFailed", "ConnectionDone"), NETWORK),
    **dict.fromkeys(("ConnectionLost", "AMQPConnectionError", "StreamLostError"), NETWORK),
    **dict.fromkeys(("ClientPayloadError", "NewConnectionError", "ClientOSError"), NETWORK),
    **dict.fromkeys(("Timeout", "TimeoutException"), TIMEOUT),
    **dict.fromkeys(("PermissionError", "SpotifyOauthError"), AUTH),
    "FileNotFoundError": NOT_FOUND,
    "BlockingIOError": RESOURCE,
    **dict.fromkeys(("TooManyRedirects", "BusyLoadingError"), SERVER),
    **dict.fromkeys(("ContentTypeError", "DecodingError", "ContentDecodingError"), INVALID),
    **dict.fromkeys(("InvalidURL", "InvalidSchema", "MissingSchema", "EOFError"), INVALID),
    **dict.fromkeys(("UnsupportedProtocol", "ParameterError"), INVALID),
    **dict.fromkeys(("ProgrammingError", "UnboundExecutionError"), BUG),
}
"""The class says it, unless the words fit an earlier category."""

HINTING_CLASSES = {
    **dict.fromkeys(("OperationalError", "InternalError"), SERVER),
    "ValueError": INVALID,
}
"""The class leans to it; any words that tell more are believed."""

CLASS_NAME_PATTERNS = (
    (RATE_LIMIT, r"RateLimit|TooManyRequests|Throttl|QuotaExceeded"),
    (AUTH, r"Unauthori[sz]ed|Authentication|Auth(?:ori[sz]ation)?Error|O[Aa]uth|Forbidden"),
    (AUTH, r"Credential|AccessDenied|PermissionDenied|TokenExpired|InvalidToken"),
    (TIMEOUT, r"Time(?:d)?out|DeadlineExceeded"),
    (NETWORK, r"Connect(?:ion|or)?(?:Error|Failed|Failure|Refused|Reset|Lost|Closed)"),
    (NETWORK, r"Network|Disconnect|Unreachable|ResolutionError"),
    (NOT_FOUND, r"NotFound|DoesNotExist|NoSuch|NoResult"),
    (SERVER, r"ServerError|ServiceUnavailable|BadGateway|Maintenance|Deadlock"),
    (RESOURCE, r"OutOfMemory|DiskFull|PoolExhausted|ResourceExhausted"),
    (INVALID, r"Validation|Pars(?:e|er|ing)(?:Error|Failed)|Decod(?:e|er|ing)Error|Schema"),
    (INVALID, r"BadRequest|Unprocessable|Malformed|Invalid(?:Data|Input|Payload|Response)"),
)
"""For the classes that nobody listed: what their last name contains."""


# --- words -------------------------------------------------------------------------------

WORDS: tuple[tuple[Category, str], ...] = (
    # Python's own sentences quote names that would mislead the rest of this table.
    (BUG, "object has no attribute|has no attribute|object is not subscriptable"),
    (BUG, "object is not callable|object is not iterable|unexpected keyword argument"),
    (BUG, "required positional argument|positional argument|required keyword only argument"),
    (BUG, "unsupported operand|cannot unpack|values to unpack|index out of range"),
    (BUG, "name error name|is not defined |referenced before assignment"),
    (BUG, "cannot access local variable|no module named|cannot import name"),
    (BUG, "division by zero|maximum recursion depth|no such table|no such column|undefined table"),
    (BUG, "was never awaited|event loop is closed|changed size during iteration"),
    # Sentences that hold a word of a category they do not belong to.
    (RESOURCE, "disk quota|quota of disk|memory limit|resource temporarily unavailable"),
    (RESOURCE, "too many connections|too many clients|connection slots are reserved"),
    (RESOURCE, "connection pool exhausted|connection pool is full"),
    (INVALID, "unexpected token|eof while parsing|unexpected end of json|invalid method signature"),
    (BUG, "syntax error"),
    (INVALID, "timeout must|timeout value|invalid timeout|moov atom not found"),
    # In the order of Category.
    (RATE_LIMIT, "rate limit|ratelimit|too many requests|throttl|quota|exceeding the allowable"),
    (RATE_LIMIT, "request limit|api limit|usage limit|requests per |calls per |slow down"),
    (AUTH, "unauthori|forbidden|authentication|access denied|permission denied|not authori"),
    (AUTH, "credential|invalid client|invalid grant|unauthorized client|insufficient scope"),
    (AUTH, "insufficient client scope|invalid token|invalid access token|bad token"),
    (AUTH, "token expired|token has expired|expired token|token is expired|token invalid"),
    (AUTH, "token revoked|token has been revoked|token is invalid|missing token|no token "),
    (AUTH, "only valid bearer authentication|token provided|invalid api key|invalid apikey"),
    (AUTH, "missing api key|api key invalid|api key expired|api key is |api key has "),
    (AUTH, "api key required|api key missing|suspended api key|api key suspended"),
    (AUTH, "invalid session|invalid signature|signature mismatch|signature does not match"),
    (AUTH, "signature expired|signature has expired|login required|requires authori|bad password"),
    (AUTH, "invalid password|wrong password|incorrect password|invalid key "),
    (TIMEOUT, "timed out|timeout|time out |deadline exceeded|etimedout|database is locked"),
    (TIMEOUT, "lock not available|could not obtain lock|canceling statement"),
    (NETWORK, "dns |name resolution|name or service not known|getaddrinfo|enotfound|eai again"),
    (NETWORK, "nodename nor servname|host not found|unknown host|could not resolve"),
    (NETWORK, "connection refused|econnrefused|connection reset|econnreset|broken pipe|epipe "),
    (NETWORK, "connection aborted|connection closed|connection is closed|connection lost"),
    (NETWORK, "connection already closed|connection error|connection failed|connection dropped"),
    (NETWORK, "closed the connection|closed connection|server disconnected|peer closed"),
    (NETWORK, "disconnected|connection attempts failed|connect call failed|connection broken"),
    (NETWORK, "cannot connect|can t connect|could not connect|failed to connect"),
    (NETWORK, "unable to connect|failed to establish|no route to host|unreachable"),
    (NETWORK, "network is down|network error|socket hang up|remote end closed|max retries"),
    (NETWORK, "certificate|ssl |tls |handshake|wrong version number|proxy error"),
    (NETWORK, "tunnel connection failed|incomplete read|incompleteread|unexpected eof"),
    (NETWORK, "eof occurred|connection forced|connection was forced|bytes missing"),
    (NOT_FOUND, "not found|no such |could not be found|couldn t be found|does not exist"),
    (NOT_FOUND, "doesn t exist|no match|no result|non existing|unknown artist|unknown track"),
    (SERVER, "internal server error|server error|internal error|bad gateway"),
    (SERVER, "service unavailable|temporarily unavailable|currently unavailable|service offline"),
    (SERVER, "is offline|maintenance|operation failed|backend error|deadlock"),
    (SERVER, "could not serialize|overloaded|over capacity|try again later|upstream"),
    (RESOURCE, "no space left|disk full|disk is full|disk or database is full|out of memory"),
    (RESOURCE, "database or disk is full|allocate memory|unable to allocate|memory error"),
    (RESOURCE, "too many open files|can t start new thread|pool exhausted|pool is full"),
    (RESOURCE, "queue is full|queue full|disk i o error|read only file system"),
    (INVALID, "expecting value|expecting property name|extra data|invalid json|not json"),
    (INVALID, "json decode|jsondecode|unterminated string|parse|parsing|not well formed"),
    (INVALID, "decode|codec can t|malformed|validation|invalid literal|could not convert"),
    (INVALID, "constraint|duplicate key|violates|bad request|missing required|required field"),
    (INVALID, "field required|unprocessable|unsupported|schema|corrupt|not recogni|truncated"),
    (INVALID, "invalid data|precondition failed|empty response|mismatch|not serializable"),
    (INVALID, "payload too large|entity too large|unexpected mimetype|unknown format|invalid "),
    (BUG, "attribute error|type error|key error|index error|name error|import error"),
    (BUG, "assertion|unbound local|zero division|recursion error|not implemented"),
    (BUG, "null pointer|nil pointer|segmentation fault|is not a function|panic "),
)
"""Phrases of lower-case words, parted by `|`; each begins at a word and may end within one."""

BROKER_DEATHS = {
    "expired": TIMEOUT,
    "maxlen": RESOURCE,
    "rejected": Category.UNKNOWN,
    "delivery_limit": Category.UNKNOWN,
}
"""RabbitMQ's reasons. Rejected, or delivered again and again: it does not say why."""
