"""Stores: the only place that knows SQLAlchemy."""
