"""Sessions of submitting roles: the two-flush step protocol, and the pool of them."""
