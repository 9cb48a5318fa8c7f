"""HTTP steps: who may call where, what is sent, and what comes back."""
