"""From one Arrow frame to a fitted estimator and the bundle that is served."""
