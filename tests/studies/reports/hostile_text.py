"""Fixture sweep with markup in every text: names, values, reasons, claims, notes, machine."""

from studies.study_toys import ToyStore

MARKUP = '<script>alert(1)</script>"><img src=x onerror=alert(2)>&lt;${7*7}{{7*7}}[x](javascript:alert(3))'
STUDY = f"study {MARKUP}"


def hostile_sweep(outputs):
    """Record the sweep `hostile` and return its store."""
    toy = ToyStore(outputs)
    parent = toy.sweep(STUDY, "hostile", f"study={MARKUP}")
    claim = {"says": MARKUP, "where": MARKUP, "metric": "val/accuracy", "arm": f"{MARKUP} 1", "than": 0.5}
    config = {
        "claims": [{**claim, "expects": "higher"}],
        "published": [{"metric": "val/accuracy", "where": MARKUP, "values": [0.1, 0.2, 0.3]}],
        "assumptions": [MARKUP],
    }
    machine = dict.fromkeys(
        ("cpu", "gpu", "platform", "data", "split_notes", "budget", "git_commit", "version.torch"), MARKUP
    )
    tags = {"sweep_id": "hostile", "overrides": f"experiment={MARKUP}", **machine}
    for number, state in enumerate(("FINISHED", "FINISHED", "FAILED"), start=1):
        toy.run(
            STUDY, 0.6, swept={"experiment": f"{MARKUP} {number}"}, parent=parent, config=config, state=state,
            tags={**tags, "failure": MARKUP, "failed_epoch": MARKUP, "validated_on": "test"},
        )  # fmt: skip
    return toy.store
