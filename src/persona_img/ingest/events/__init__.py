"""Events of shown pictures in what a shop's analytics exports: by one mapping, row by row."""
