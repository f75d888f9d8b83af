"""Who may serve: candidates, promotion, rollback, hold and release; decisions on ``store``, copied to MLflow's aliases.

``verdict`` and ``candidates`` decide, ``promotion`` and ``rollback`` act, ``acts`` reads what a person asked for.
"""
