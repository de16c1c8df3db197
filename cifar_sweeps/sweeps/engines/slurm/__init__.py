"""The Slurm engine: jobs as tasks of job arrays; it asks for sbatch, squeue, scontrol and scancel, and no more."""
