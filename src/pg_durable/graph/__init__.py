"""The pure core: graphs, the walk over them, names, variables and results. No I/O."""
