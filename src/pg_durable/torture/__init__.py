"""Torture: workflows of many kinds, faults at random instants, and checks from the database alone.

    plan ──► round ──► arena (server, workers, clients)  ◄── faults
                └────► checks, leaks ──► report

| module    | what it holds                                                          |
|-----------|------------------------------------------------------------------------|
| plan      | all that is random in a round, made from its seed                       |
| workload  | the kinds of workflows, and what must have come of each                |
| ledger    | the tables in which steps and clients write down what they did         |
| server    | a PostgreSQL server that is there to be killed                         |
| workers   | worker processes: started, killed, frozen, stopped                     |
| clients   | sessions that start, signal and cancel, and ask again when in doubt    |
| arena     | a round's database with its workers, and how faults reach them         |
| faults    | one class for each fault                                               |
| checks    | what must be so at the end, by what the tables say                     |
| leaks     | what must not be left: sessions, locks, processes, files               |
| rounds    | one round from its plan to its violations; round after round           |
| report    | tables for people, JSON for programs                                   |
"""
