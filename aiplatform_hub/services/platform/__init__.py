"""The platform service: pages, REST API and server-sent events at ``/services/platform/``."""
