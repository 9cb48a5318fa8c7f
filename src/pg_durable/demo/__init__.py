"""The demo: a year of flights, a workflow, and a worker that is killed in the middle."""

from pg_durable.demo.story import run_demo

__all__ = ["run_demo"]
