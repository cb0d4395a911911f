"""`python -m services <name>`: run one service with settings from the environment."""

import importlib
import os
import sys

from pydantic import ValidationError

from shared.service.app import serve
from shared.settings import Settings, SettingWrong

NAMES = ("intake", "prescriber", "session", "integration", "audit")


def main() -> int:
    """Run the service named as argument or by SERVICE; returns the exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SERVICE", "")
    if name not in NAMES:
        print(f"Name one of: {', '.join(NAMES)}.", file=sys.stderr)  # noqa: T201
        return 2
    try:
        settings = Settings()  # type: ignore[call-arg]
    except ValidationError as error:
        for wrong in error.errors(include_input=False, include_url=False):
            setting = "KAPCARE_" + "_".join(str(part) for part in wrong["loc"]).upper()
            print(f"{setting}: {wrong['msg']}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        app = importlib.import_module(f"services.{name}.app").build(settings)
    except SettingWrong as wrong_setting:
        print(wrong_setting, file=sys.stderr)  # noqa: T201
        return 2
    serve(app, settings)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
