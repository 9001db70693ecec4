"""The claims, the reference records that judge them, and their verdicts."""
