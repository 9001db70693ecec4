"""A trained run at work: pictures in, boxes out; scored on a split; exported."""
