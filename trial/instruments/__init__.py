"""What watches a training, and what theory says of it."""
