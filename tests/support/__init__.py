"""What tests share: databases, workers, waiting."""
