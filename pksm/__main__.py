"""python -m pksm: the same as the command pksm."""

import sys

from pksm.cli import main

sys.exit(main())
