"""The card of a bundle: what a person should know before trusting it."""

from datetime import UTC, datetime

from models.bundle import Manifest
from models.registry import RATE, TIMEFRAME


def write_card(manifest: Manifest) -> str:
    """Markdown, from nothing but the manifest, so that the two cannot disagree."""
    p = manifest.provenance
    rates = manifest.metrics["held_out_false_alarm_rate"]
    weights = manifest.ensemble["weights"]
    rows = "\n".join(f"| {name} | {weights[name]:.2f} | {rates[name]:.4f} |" for name in weights)
    files = "\n".join(f"- `{name}` sha256 `{sha}`" for name, sha in p["files"].items())
    labels = "excluded sessions labelled anomalous" if p["labels"] else "none: every session was taken for normal"
    return f"""# {manifest.source["name"]} {manifest.version}

Made {_day(manifest.created)} for logs of source `{manifest.source["name"]}`.

## Trained on
{files}

- {p["lines"]} lines ({p["lines_rejected"]} rejected), {p["sessions_in_log"]} sessions
- for training: the oldest {p["train_share"]:.0%} of the sessions by first line; of these {p["sessions_trained"]} normal
  ones, from {_day(p["first_session"])} to {_day(p["last_session"])}
- left out: {p["sessions_left_out_anomalous"]} anomalous, {p["sessions_left_out_open"]} that went on into the test part
- labels: {labels}
- seed {p["seed"]}

## How it decides
A session ends after {manifest.session.idle_s:.0f} s of silence. Alert budget: {manifest.ensemble["budget"]:.2%} of
normal sessions; evidence threshold {manifest.ensemble["threshold"]:.3f}. Template tree `{manifest.tree_id}`, version
{manifest.tree_version}.

| member | weight | false alarms on held-out normals |
| --- | --- | --- |
{rows}
| ensemble | | {rates["ensemble"]:.4f} |

The rates are shares of normal sessions that the member did not see when it was fitted. Recall is not known from normals
alone: `tocsin evaluate` measures it where there are labels.
{_beside(manifest)}
## Limits
It knows the behaviour of the days above. New but benign behaviour rings until feedback or another training takes it in.
"""


def _beside(manifest: Manifest) -> str:
    """What stands beside the ensemble: detectors without a say, timeframes, workflow, and normal sessions."""
    rates, weights = manifest.metrics["held_out_false_alarm_rate"], manifest.ensemble["weights"]
    witnesses = [f"{name} ({rates[name]:.4f})" for name in rates if name not in weights and name != "ensemble"]
    parts = []
    if witnesses:
        parts.append(f"\nScored and reported without a say: {', '.join(witnesses)}.\n")
    if TIMEFRAME in manifest.detectors:
        frames = manifest.detectors[TIMEFRAME]
        parts.append(f"\nTimeframes are judged by {TIMEFRAME}; one rings from {frames['threshold']:.6g} on.\n")
    if RATE in manifest.detectors:
        rate = manifest.detectors[RATE]
        parts.append(
            f"\nLines are counted by {rate['bucket_s']:g} s, of the source and of its {rate['templates']} most "
            f"frequent templates, against the rhythm ({rate['rhythm']}) of {rate['days']:.1f} days; "
            f"{rate['alarms_per_week']:g} false alarms a week are aimed at. A silent source rings at "
            f"{rate['silence_rings']:.0%} of the times.\n"
        )
    built = manifest.metrics.get("workflow")
    if built:
        ways = ", ".join(f"{name} {way['replay_rate']:.2%}" for name, way in built["ways"].items())
        parts.append(f"\nWorkflow: built by {built['chosen']}; held-out sessions that replay: {ways}.\n")
    normals = manifest.metrics.get("normals")
    if normals:
        parts.append(
            f"\nIncidents are compared with {normals['kept']} normal sessions; {normals['sessions']} of those trained "
            "went as one of them.\n"
        )
    return "".join(parts)


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
