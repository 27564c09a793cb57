# SPDX-License-Identifier: Apache-2.0
"""Energy of parts of a Python program, by libcarnot and the machine's carnotd.

    import carnot

    with carnot.Region("solve") as region:
        solve()
    print(region.result().energy_j)

    @carnot.measured
    def solve(): ...
"""
from ._lib import Error
from .region import Carnot, Domain, Region, Result, measured
from .tracer import EnergyTracer

__all__ = ["Carnot", "Domain", "EnergyTracer", "Error", "Region", "Result", "measured"]
__version__ = "0.1.0"
