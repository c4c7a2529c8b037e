"""How the masker is taught and its confidence fitted; nothing that cuts imports this."""
