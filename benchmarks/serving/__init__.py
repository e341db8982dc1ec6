"""How fast the service answers over HTTP, against what else a shop would put there."""
