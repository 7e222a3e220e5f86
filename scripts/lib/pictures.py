# SPDX-License-Identifier: Apache-2.0
"""What the scripts that draw have in common."""
import os
import sys

_DISTRIBUTION_PYTHON = "/usr/bin/python3"


def load_matplotlib(script, style):
    """pyplot with our style, without a display. Without matplotlib says what installs it and exits with 3."""
    try:
        import matplotlib
    except ImportError:
        # The Debian package is for the distribution's Python, which may not be the first in PATH.
        if sys.prefix != "/usr" and os.access(_DISTRIBUTION_PYTHON, os.X_OK):
            os.execv(_DISTRIBUTION_PYTHON, [_DISTRIBUTION_PYTHON, *sys.argv])
        print(f"{script}: needs matplotlib; this installs it:\n"
              "  apt-get update && apt-get install -y --no-install-recommends python3-matplotlib",
              file=sys.stderr)
        sys.exit(3)
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    # The same input gives the same bytes.
    plt.rcParams.update({"font.size": 10, "svg.hashsalt": "mmusim", "svg.fonttype": "path", **style})
    return plt
