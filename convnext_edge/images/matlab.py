"""A program that reads the devkit's meta.mat from its input, and prints the synset of each id as JSON.

It is a process of its own, because SciPy's compiled reader can crash on a damaged file.
"""

from __future__ import annotations

import io
import json
import sys
import warnings


def main() -> None:
    """Print the synsets, or end with the error that SciPy raises."""
    import scipy.io

    warnings.simplefilter("ignore")  # an error follows, or the values are right
    records = scipy.io.loadmat(io.BytesIO(sys.stdin.buffer.read()), squeeze_me=True)["synsets"]
    # Ids above 1000 are the inner nodes of the hierarchy; they have children.
    leaves = {int(r["ILSVRC2012_ID"]): str(r["WNID"]) for r in records if int(r["num_children"]) == 0}
    sys.stdout.write(json.dumps(leaves))


if __name__ == "__main__":
    main()
