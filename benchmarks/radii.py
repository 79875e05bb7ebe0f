"""How wide the proof is: radii of Hessians with balls of float64 and with balls one rounding wide.

    python benchmarks/radii.py --root DIR [--samples 2000]

The same Hessian is assembled by both machines (`morsescape.hessian.sharp`), at a trained network of
each kind. A result that is in --out is not measured again.
"""

from __future__ import annotations

import time
from typing import Any

from measure import arguments, kept

from morsescape.hessian import dense
from morsescape.hessian.enclose import Enclosure
from morsescape.hessian.sharp import Sharp
from morsescape.studies.point import PointSettings, make_point


def measure(net: str, options: Any) -> dict[str, Any]:
    """Both machines, twice each; the second time counts."""
    point = PointSettings(net, "mnist", samples=options.samples, root=options.root)
    made = make_point(point, 0)
    rows = {}
    for name, kind in [("float64", Enclosure), ("one rounding", Sharp)] * 2:
        dense.Sharp = kind  # type: ignore[misc]
        start = time.process_time()
        found = made.f.enclosed_hessian(made.theta)
        rows[name] = {"radius": found.radius, "seconds": time.process_time() - start}
    return {"net": net, "samples": options.samples, "dim": made.f.dim, "rows": rows}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    for net in ("mlp2", "mlp3", "cnn"):
        kept(options.out / f"radii-{net}.json", lambda n=net: measure(n, options))


if __name__ == "__main__":
    main()
