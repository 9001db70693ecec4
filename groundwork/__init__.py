"""What every other package stands on: errors, files, locks, places, hashes of code, strict JSON."""
