"""This code side by side with its peers: times as ratios."""
