"""Imported first: one core for each process of the suite.

Threads that wait for each other where another process computes cost minutes. What must not depend
on their number sets it itself.
"""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
    os.environ.setdefault(name, "1")
