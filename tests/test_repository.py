"""What the set-up files promise."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_environment_yml_has_no_list_of_its_own():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, pip, packages = environment["dependencies"]
    assert python.startswith("python") and pip == "pip"
    assert packages == {"pip": ["-e .[course]"]}
