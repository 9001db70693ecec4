"""What executes the notebooks and renders the book."""
