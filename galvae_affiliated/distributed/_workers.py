# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One model a process of a Dask cluster, loaded once, with as many threads as the worker has."""

import threading
from dataclasses import replace

from galvae_affiliated._optional import import_optional
from galvae_affiliated.models._devices import usable_threads
from galvae_affiliated.models.registry import get_model

__all__ = ['share_model']

MODELS = {}  # id of a model: the bundle that this process keeps loaded
LOCK = threading.RLock()


try:
    import distributed
    from distributed import WorkerPlugin
except ImportError:  # `import_optional` says so when a cluster is asked for
    distributed, WorkerPlugin = None, object


def share_model(model=None, client=None):
    """
    Send a model to all workers of a cluster, once; also to those that join or restart later.

    Parameters
    ----------
    model : `~galvae_affiliated.ModelBundle`, str or path, optional
        The model, its name, or its file, which only this process has to see; None takes the
        default.
    client : ``distributed.Client``, optional
        None takes the current one.

    Returns
    -------
    model_id : str
        The model's id, such as 'gz2-sdss-v3@3f9d0c2ab715'. As ``model`` of
        `encode_partition` it stands for the model, on the workers and here.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ValueError
        If there is no client.

    Examples
    --------
    >>> from dask.distributed import Client
    >>> from galvae_affiliated.distributed import share_model
    >>> client = Client()  # doctest: +SKIP
    >>> share_model(client=client)  # doctest: +SKIP
    'gz2-sdss-v3@...'
    """
    client = current_client(client)
    model = resident_model(model)
    # a plugin and not scattered data: these die with the workers that hold them
    client.register_plugin(ModelPlugin(model), name=f'galvae-{model.sha256}')
    return model.id


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
    model : `~galvae_affiliated.ModelBundle`
    """
    with LOCK:
        if isinstance(model, str) and model in MODELS:
            return MODELS[model]
        found = get_model(model)
        return MODELS.setdefault(found.id, found)


def worker_engine(engine):
    """An `~galvae_affiliated.Engine` with the threads of the Dask worker, if it states none."""
    if engine.n_threads is not None or worker_threads() is None:
        return engine
    # Dask sets OMP_NUM_THREADS to 1 in its workers, however many threads they have
    return replace(engine, n_threads=usable_threads(worker_threads()))


def worker_threads():
    """Threads of the Dask worker that runs this task; None elsewhere."""
    try:
        return None if distributed is None else distributed.get_worker().state.nthreads
    except ValueError:
        return None


def current_client(client):
    """The client that is given, or the one that this process has."""
    import_optional('distributed')
    try:
        return distributed.Client.current() if client is None else client
    except ValueError:
        raise ValueError('there is no Dask client; give one, such as '
                         'distributed.Client(n_workers=2)') from None
