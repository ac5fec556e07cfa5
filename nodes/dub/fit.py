"""`nodes.dub.fit.Fit`: the former name of `nodes.dub.time_fit.Fit`, which pipelines may still hold as `_target_`."""

from nodes.dub.time_fit import Fit

__all__ = ["Fit"]
