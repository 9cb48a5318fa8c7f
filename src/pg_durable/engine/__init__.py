"""The worker: claims instances, drives their walks, and lets go of them."""
