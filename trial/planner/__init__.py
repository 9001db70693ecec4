"""How much memory, time and money a training takes, before it is started."""
