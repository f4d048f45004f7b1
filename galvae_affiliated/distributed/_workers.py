# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One model a worker of a Dask cluster, loaded once, with as many threads as the worker has."""

import threading

from galvae_affiliated._optional import import_optional
from galvae_affiliated.models._devices import BATCH_SIZE, usable_threads
from galvae_affiliated.models._runner import GraphRunner
from galvae_affiliated.models.bundle import ModelBundle
from galvae_affiliated.models.registry import get_model

__all__ = ['current_client', 'resident_model', 'share_model']

MODELS = {}  # SHA-256 of a bundle: the model that this process keeps loaded
LOCK = threading.RLock()


try:
    import distributed
    from distributed import WorkerPlugin
except ImportError:  # said by `need` when a cluster is asked for
    distributed, WorkerPlugin = None, object


def share_model(model=None, client=None):
    """
    Send a model to all workers of a cluster, once; also to those that join or are started anew later.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model, its name, or its file, which only this process has to see; None takes the default.
    client : ``distributed.Client``, optional
        None takes the current one.

    Returns
    -------
    model_id : str
        The model's id, such as 'gz2-sdss-v2@3f9d0c2ab715'. As ``bundle`` of
        `encode_partition` it stands for the model, on the workers and here.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ValueError
        If there is no client.
    """
    client, model = current_client(client), resident_model(model)
    # a plugin and not scattered data: these die with the workers that hold them
    client.register_plugin(ModelPlugin(model), name=f'galvae-{model.sha256}')
    return model.id


class WorkerRunner(GraphRunner):
    """A runner with as many threads as the Dask worker, whose session is built by one thread of it alone."""

    def start(self):
        """See `~galvae_affiliated.models._runner.GraphRunner`."""
        if self._session is None:
            with LOCK:
                # Dask sets OMP_NUM_THREADS to 1 in its workers, however many threads they have
                self.n_threads = self.n_threads or usable_threads(worker_threads())
                super().start()
        return self._session


class WorkerModel(ModelBundle):
    """
    A bundle whose sessions stay: who asks for a runner of the same settings again gets the same.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    """

    runner_class = WorkerRunner

    def __init__(self, model):
        super().__init__(model.manifest, model._parts)
        self._runners = {}

    def __reduce__(self):
        return ModelBundle, (self._manifest, self._parts)

    def runner(self, graph, *, device='auto', batch_size=BATCH_SIZE, n_threads=None, precision='float32'):
        """See `~galvae_affiliated.ModelBundle`; without ``n_threads`` the runner has those of the Dask worker."""
        settings = graph, device, batch_size, n_threads, precision
        with LOCK:
            if settings not in self._runners:
                self._runners[settings] = super().runner(graph, device=device, batch_size=batch_size, n_threads=n_threads,
                                                         precision=precision)
            return self._runners[settings]


def worker_threads():
    """Threads of the Dask worker that runs this task; None elsewhere."""
    try:
        return None if distributed is None else distributed.get_worker().state.nthreads
    except ValueError:
        return None


class ModelPlugin(WorkerPlugin):
    """
    Gives a model to each worker when it starts.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`
    """

    idempotent = True  # registered again, it is not sent again

    def __init__(self, model):
        self.model = model

    def setup(self, worker):
        """Keep the model; its sessions are built when the first task needs them."""
        resident_model(self.model)


def resident_model(model):
    """
    The model as this process keeps it.

    Parameters
    ----------
    model : str, path, `~galvae_affiliated.ModelBundle` or None
        Also the id of a model that is kept already.

    Returns
    -------
    model : `WorkerModel`
    """
    with LOCK:
        for model in MODELS.values():
            if model.id == model:
                return model
        model = get_model(model)
        if model.sha256 not in MODELS:
            MODELS[model.sha256] = WorkerModel(model)
        return MODELS[model.sha256]


def current_client(client):
    """The client that is given, or the one that this process has."""
    import_optional('distributed')
    try:
        return distributed.Client.current() if client is None else client
    except ValueError:
        raise ValueError('there is no Dask client; give one, such as distributed.Client(n_workers=2)') from None
