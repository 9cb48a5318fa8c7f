"""What runs the leaves of a graph, one module a kind."""
