"""Why a plan is as it is: a reason for every load and unload, the moment that binds, what more or less memory would change."""
