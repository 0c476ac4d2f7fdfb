"""What goes over HTTP: request and response shapes, with examples for OpenAPI.

Names and shapes of the specified endpoints are kept to the letter; what we add stands
beside them.
"""
