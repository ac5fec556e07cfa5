"""`nodes.dub.fit.Fit`: the name that `_target_` has in pipelines written before `time_fit` was called so."""

from nodes.dub.time_fit import Fit

__all__ = ["Fit"]
