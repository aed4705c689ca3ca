"""`pytest --nbval notebooks/03_attention.ipynb` compares outputs as the course needs it."""

pytest_plugins = ["tests.notebooks"]
