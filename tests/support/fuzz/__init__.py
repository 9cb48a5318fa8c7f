"""Bad input: how it is made, and what must hold whatever comes."""
