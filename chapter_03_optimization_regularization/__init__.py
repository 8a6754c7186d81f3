"""Chapter 3: optimisers, schedules, regularisation, normalisation, and the training loop."""

from utils.moved import moved

# Where the modules stood that the chapter's earlier text and notebook named.
moved(
    __name__,
    {
        "optimizer_base": "optimizers.base",
        "optimizers_variants": "optimizers.variants",
        "optimizers_foreach": "optimizers.foreach",
        "scheduler_base": "schedulers.base",
        "one_cycle": "schedulers.one_cycle",
        "normalization_functions": "normalization.functions",
        "batch_normalization": "normalization.batch",
        "reparametrization": "normalization.weights",
        "mixing": "regularization.mixing",
        "averaging": "regularization.averaging",
        "training_versions": "training.versions",
        "training_state": "training.state",
        "batches": "training.batches",
        "evaluation": "training.evaluation",
        "fingerprint": "training.fingerprint",
        "tasks": "experiments.tasks",
        "label_noise": "experiments.label_noise",
    },
)
