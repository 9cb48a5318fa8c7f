"""Durable SQL functions for PostgreSQL: the engine, the worker and the tools."""

from importlib.metadata import version

__version__ = version("pg-durable")
