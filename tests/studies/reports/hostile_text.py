"""A sweep whose every word tries to be markup: names, values, reasons, claims, notes, facts of the machine."""

from studies.study_toys import ToyStore

MARKUP = '<script>alert(1)</script>"><img src=x onerror=alert(2)>&lt;${7*7}{{7*7}}[x](javascript:alert(3))'
STUDY = f"study {MARKUP}"


def hostile_sweep(outputs):
    """Record it and return its store. Its id is `hostile`."""
    toy = ToyStore(outputs)
    parent = toy.sweep(STUDY, "hostile", f"study={MARKUP}")
    claim = {"says": MARKUP, "where": MARKUP, "metric": "val/accuracy", "arm": f"{MARKUP} 1", "than": 0.5}
    config = {
        "claims": [{**claim, "expects": "higher"}],
        "published": [{"metric": "val/accuracy", "where": MARKUP, "values": [0.1, 0.2, 0.3]}],
        "assumptions": [MARKUP],
    }
    facts = dict.fromkeys(
        ("cpu", "gpu", "platform", "data", "split_notes", "budget", "git_commit", "version.torch"), MARKUP
    )
    tags = {"sweep_id": "hostile", "overrides": f"experiment={MARKUP}", **facts}
    for number, state in enumerate(("FINISHED", "FINISHED", "FAILED"), start=1):
        toy.run(
            STUDY, 0.6, swept={"experiment": f"{MARKUP} {number}"}, parent=parent, config=config, state=state,
            tags={**tags, "failure": MARKUP, "failed_epoch": MARKUP, "validated_on": "test"},
        )  # fmt: skip
    return toy.store
