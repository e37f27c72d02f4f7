"""A log streamed into a running service, and the figures of what came back. A client: it knows the service by HTTP
only."""
