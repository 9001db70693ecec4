"""Every picture of the book, in one style."""
