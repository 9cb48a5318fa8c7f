"""The tables in which steps and clients write down what they did.

Nothing in them is unique but what a client must not do twice (a start, a signal, a cancellation),
which is written in the transaction that does it. So whoever has lost the answer to a COMMIT asks
the table, or tries again and is refused.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

WORKER_ROLE = "torture_worker"

_TABLES = """
    create schema torture;
    create table torture.ledger (tag text not null, step text not null,
      at timestamptz not null default clock_timestamp(), backend int default pg_backend_pid());
    create table torture.starts (tag text primary key, instance text not null, kind text not null,
      expected jsonb not null, acknowledged boolean not null default false);
    create table torture.signals (tag text, n int, primary key (tag, n));
    create table torture.cancels (tag text primary key);
    create table torture.rows (id int primary key, n int not null default 0);
    insert into torture.rows select generate_series(1, 4);

    -- Two of these, in opposite orders, are a deadlock.
    create function torture.cross_rows(p_tag text, p_step text, p_first int, p_second int)
    returns text
    language plpgsql
    as $$
    begin
      update torture.rows set n = n + 1 where id = p_first;
      perform pg_sleep(random() * 0.05);
      update torture.rows set n = n + 1 where id = p_second;
      insert into torture.ledger (tag, step) values (p_tag, p_step);
      return p_step;
    end
    $$;
"""


async def make_roles(session: psycopg.AsyncConnection[Any], roles: Sequence[str]) -> None:
    """Once for a server: who starts workflows, and who runs them."""
    for role in (*roles, WORKER_ROLE):
        await session.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))


async def make_tables(session: psycopg.AsyncConnection[Any], roles: Sequence[str]) -> None:
    """In a database with the df schema."""
    await session.execute(_TABLES)
    for role in roles:
        name = sql.Identifier(role)
        await session.execute(sql.SQL("select df.grant_usage({})").format(sql.Literal(role)))
        await session.execute(sql.SQL("grant usage on schema torture to {}").format(name))
        await session.execute(
            sql.SQL("grant select, insert, update on all tables in schema torture to {}").format(
                name
            )
        )
