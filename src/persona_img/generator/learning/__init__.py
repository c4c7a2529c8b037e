"""How the checkpoint and the judge of styles are taught; nothing that renders imports this."""
