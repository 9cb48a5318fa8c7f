"""`python -m pg_durable` is `pg-durable`."""

from pg_durable.cli import main

if __name__ == "__main__":
    main()
