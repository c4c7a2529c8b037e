"""What shoppers did: read in pieces, checked row by row, kept once.

``store`` is what a shop has; ``base`` the port of readers, ``columns`` which column is what.
"""
