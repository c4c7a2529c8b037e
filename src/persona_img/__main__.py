"""``python -m persona_img``."""

from persona_img.cli import main

if __name__ == "__main__":
    main()
