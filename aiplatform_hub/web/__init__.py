"""View models, page templates and static files."""
