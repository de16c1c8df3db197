"""TEMPORARY wiring until the core's launcher takes an EngineSetup."""
from hydra_plugins.cifar_sweeps_launcher import LocalLauncher


class SlurmLauncher(LocalLauncher):
    def __init__(self, **settings):
        super().__init__()
        self._given = settings

    def launch(self, job_overrides, initial_job_idx):
        import cifar_sweeps.sweeps.launch as L
        from cifar_sweeps.sweeps.engines.slurm.engine import SlurmEngine
        from cifar_sweeps.sweeps.engines.slurm.setup import SlurmSetup

        setup = SlurmSetup(**self._given)
        setup.check()
        folder = []
        original = L.run_jobs

        def run_jobs(context, command, parent_run, *a, **k):
            folder.append(parent_run.folder)
            return original(context, command, parent_run, *a, **k)

        def make(processes, n):
            engine = setup.open(folder[0], None)
            engine.remove_files = lambda: None
            return engine

        L.run_jobs, L.LocalEngine = run_jobs, make
        L.choose_parallelism = lambda configs, *a: setup.choose_parallelism(configs, len(configs))
        return super().launch(job_overrides, initial_job_idx)
