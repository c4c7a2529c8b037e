"""What is measured of a variant: the gate, the judge of styles, and the certificate."""
