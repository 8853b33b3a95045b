"""Score rows of features online: three models, one calibrated sum, shares that explain it.

`Ensemble` is the whole; its parts stand alone: moments (how far each feature is from its usual),
residual (what the usual relations between features do not explain), trees (how empty the place
is), calibration (how rare a score is), gate (what may be learned), edges (bursts between
addresses). All are arrays and pure numpy; nothing here knows events, tenants or findings.
"""
