"""What a container is made of and told, held against the program."""
