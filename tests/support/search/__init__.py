"""Proof by search: random graphs, a small reference evaluator, and the comparison of both.

| module         | what it holds                                                       |
|----------------|---------------------------------------------------------------------|
| `nodes.py`     | graphs as Python values, their envelopes, the statements of leaves  |
| `graphs.py`    | a random graph for a seed                                           |
| `draws.py`     | random leaves for it                                                |
| `leaves.py`    | what an SQL leaf gives, told without SQL                            |
| `reference.py` | what a graph must do, told from the specification                   |
| `told.py`      | the words in which it tells it                                      |
| `observe.py`   | starting many graphs at once, and what became of them               |
| `compare.py`   | where both differ, as a text that lets the case be run again        |
| `shrink.py`    | the smallest graph that still differs                               |

To run one case again: `PYTHONPATH=tests .venv/bin/python -m support.search.replay SEED`.
"""
