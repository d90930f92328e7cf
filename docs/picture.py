"""Draw the picture of the README: ``python docs/picture.py`` after ``make setup``."""

from pathlib import Path

import kmon_analysis as km

TARGET = Path(__file__).parent / "images" / "tuned.png"


def main() -> None:
    """Tune the bundled rules and save the picture of the lag rule."""
    advice = km.demo().advice
    TARGET.parent.mkdir(exist_ok=True)
    advice.plot("HighConsumerLag").savefig(TARGET, dpi=100, metadata={"Software": ""})


if __name__ == "__main__":
    main()
