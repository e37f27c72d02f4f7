"""``python -m service`` and ``tocsin``: the door of the command line."""

import os


def main() -> None:
    """Run a command.

    polars reads its thread count once, when it is first imported. A batch of a thousand lines is too small to be worth
    sharing out: with one thread the service does a tenth more lines a second on two cores (docs/performance.md).
    """
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from service.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
