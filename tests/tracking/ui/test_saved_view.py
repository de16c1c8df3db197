"""Views that are stored as tags of an experiment: what is kept, and what goes with its sweep."""

from mlflow.entities import RunTag

from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import embedded_uri
from cifar_sweeps.tracking.ui import saved_view


def test_a_view_goes_with_the_last_run_of_its_sweep_and_no_other_tag_does(tmp_path):
    store = Store(embedded_uri(tmp_path), tmp_path)
    client, experiment = store.client(), store.prepare("toys")
    value = saved_view.encode("a view", {"orderByAsc": False}, 1, 2)
    keys = {name: f"{saved_view.TAG}{saved_view.view_id(name)}" for name in ("there", "in the trash", "gone: long ago")}
    others = [f"{saved_view.TAG}1790000000000abc", "mlflow.note.content"]
    for key in (*keys.values(), *others):
        client.set_experiment_tag(experiment, key, value)
    for name in ("there", "in the trash"):
        run = client.create_run(experiment).info.run_id
        client.log_batch(run, tags=[RunTag("cifar_sweeps.sweep_id", name)])
        if name != "there":
            client.delete_run(run)
    assert saved_view.remove_orphans(store) == 1
    assert set(client.get_experiment(experiment).tags) == {keys["there"], keys["in the trash"], *others}
    assert saved_view.remove_orphans(store) == 0
