"""Benchmarks that a stranger can run: `pg-durable bench`. They measure, and decide nothing.

What counts are ratios within one run, above all to what pgbench reaches with the same SQL; see
docs/performance.md for what each measure means.

| module   | what it holds                                                            |
|----------|--------------------------------------------------------------------------|
| suite    | the runs, and what is done in each                                       |
| measures | what is measured of pg_durable, one module a topic                       |
| peers    | the same work done by other systems                                      |
| limit    | pgbench doing the same SQL: no engine can be faster                      |
| place    | a server and a database of the benchmark's own                           |
| lab      | a database with `df`, and workers                                        |
| counters | WAL, commits, versions of rows, CPU                                      |
| relay    | counts round trips and statements between a worker and the server        |
| figures  | readings, their medians, spreads and percentiles                         |
| goals    | what the project has set itself to reach                                 |
| machine  | what it was measured on                                                  |
| results  | files of results                                                         |
| report   | tables, Markdown, comparisons                                            |
| plots    | plots                                                                    |
"""
