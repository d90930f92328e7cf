"""The verb `import`: a table, as programs and dashboards export it, becomes a history on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kmon_analysis.cli_options import HistoryOutOption, JsonOption, TimeFormatOption, ZoneOption, read_pairs
from kmon_analysis.cli_terminal import naming, put_saved, working
from kmon_analysis.errors import SettingError

if TYPE_CHECKING:
    from kmon_analysis.sources.files import CsvOptions

__all__ = ["import_command", "register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(
        "import",
        short_help="Make a history of a CSV file, for example of a dashboard.",
        epilog="""\b
Examples:
  kmon import lag.csv --zone Europe/Berlin -o history \\
      --column 'kafka_consumer_lag_sum{topic="orders"}=orders'
  kmon import lag.csv rate.csv --zone Europe/Berlin -o history \\
      --column 'kafka_consumer_lag_sum{topic="{{t}}"}=lag of {{t}}'
  kmon import lag.csv --zone Europe/Berlin --time-format "%d.%m.%Y %H:%M" \\
      --decimal-comma -o history""",
    )(import_command)


def import_command(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="A .csv with a header: a time column and one column a series; or one sample a row, with columns for "
            "the time, value, metric (or --metric) and each label. Several become one history, of other metrics or "
            "other times. Other files that --history takes can be given, too.",
        ),
    ],
    out: HistoryOutOption,
    zone: ZoneOption = None,
    time_format: TimeFormatOption = None,
    unit: Annotated[
        str | None,
        typer.Option(
            "--unit", metavar="UNIT", help="Of times given as numbers: s, ms, us or ns; by default as their size tells."
        ),
    ] = None,
    decimal_comma: Annotated[
        bool, typer.Option("--decimal-comma", help="Numbers have a comma in place of the point.")
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="SERIES=NAME",
            help='What the column NAME is: lag{topic="orders"}=orders. Repeat it for more; time=NAME is the times. '
            'By the legend of a panel: lag{topic="{{t}}"}={{t}}.',
        ),
    ] = None,
    only_named: Annotated[
        bool, typer.Option("--only-named", help="Leave out the columns that no --column names.")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="NAME", help='Name of the series that have none, such as {topic="orders"}.'),
    ] = None,
    scrape_interval: Annotated[
        str | None,
        typer.Option("--scrape-interval", metavar="TIME", help="How far samples lie apart; by default measured."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a history of tables whose times, numbers or columns need a word of explanation.

    Every verb then takes the folder with --history. Where a file explains itself, they take it as it is.
    """
    from kmon_analysis.sources.files import open_history
    from kmon_analysis.timing import parse_duration, zone_of
    from kmon_analysis.timing_written import EPOCH_UNITS, check_time_format

    if zone is not None:
        zone_of(zone, place="--zone")
    with naming("--time-format"):
        if time_format is not None:
            check_time_format(time_format)
    if unit is not None and unit not in EPOCH_UNITS:
        raise SettingError(f"{unit!r} is no unit", place="--unit", cure=f"Known are {', '.join(EPOCH_UNITS)}")
    with naming("--scrape-interval"):
        parse_duration(scrape_interval or "0")
    options: CsvOptions = {
        "zone": zone,
        "time_format": time_format,
        "unit": unit,
        "decimal_comma": decimal_comma,
        "columns": read_pairs(column or [], 'lag{topic="orders"}=orders'),
        "scrape_interval": scrape_interval,
        "only_named": only_named,
    }
    with working("reading"):
        history = open_history(*files, metric=metric, **options)
        history.save(out)
    put_saved(history, out, as_json=as_json)
