"""On the path of every process of a sweep that faults are to strike; see strikes.py beside this folder."""

import os
import sys

if "FAULTS" in os.environ:
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import strikes

    strikes.arm()
