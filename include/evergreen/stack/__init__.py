"""The whole of Evergreen on one machine: PostgreSQL, Airflow, MLflow and the gateway as processes of one user.

It starts, watches and ends processes. It knows no machine learning and imports no Airflow: Airflow and MLflow are
programs to it. Start reading at :mod:`evergreen.stack.stack`; ``docs/decisions/0002-supervisor.md`` says why it is not
an existing process manager.
"""
