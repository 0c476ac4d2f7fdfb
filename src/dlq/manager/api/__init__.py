"""The HTTP API: a router a noun. Endpoints are thin; what they do lives in the manager."""
