# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where and how graphs run, and the one place that keeps their sessions."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass

from galvae_affiliated.models._devices import BATCH_SIZE, check_device, residual_graph
from galvae_affiliated.models._runner import GraphRunner, check_counts

__all__ = ['Engine']

# rows a call of a graph that takes latents: larger batches are slower, as what is between
# the layers leaves the caches
LATENT_BATCH = 4096
LATENT_PARTS = ('heads', 'quantities')
MAX_RUNNERS = 24  # more sessions than this are not kept: those longest unused go

_RUNNERS = OrderedDict()
_LOCK = threading.RLock()


@dataclass(frozen=True)
class Engine:
    """
    Where and how graphs run.

    Parameters
    ----------
    device : {'auto', 'cpu', 'cuda'}, optional
        'auto' takes CUDA where it starts and the CPU otherwise; the others raise if they
        do not start.
    batch_size : int, optional
        Cutouts a call of the network.
    n_threads : int, optional
        Threads on the CPU; None takes the processors that the process may use, and 1 is
        one thread of everything, BLAS included.
    precision : {'float32', 'float16', 'int8'}, optional
        What the networks compute in. 'float16' needs a GPU; 'int8' is that of the encoder
        alone, needs a processor with VNNI, and gives latents that differ a little, whose columns
        say so. Both need a model that was exported with it.

    Raises
    ------
    ValueError
        For names that do not exist, half precision on the CPU, eight bits on a GPU, or numbers
        below 1.
    DeviceError
        For eight bits on a processor without VNNI.

    Examples
    --------
    >>> from galvae_affiliated import Engine
    >>> Engine(device='cpu', n_threads=1)
    Engine(device='cpu', batch_size=16, n_threads=1, precision='float32')
    """

    device: str = 'auto'
    batch_size: int = BATCH_SIZE
    n_threads: int | None = None
    precision: str = 'float32'

    def __post_init__(self):
        check_counts(batch_size=self.batch_size, n_threads=self.n_threads)
        check_device(self.device, self.precision)

    def runner(self, model, part):
        """
        What runs a graph of a model; kept for the next call with an equal engine.

        Parameters
        ----------
        model : `~galvae_affiliated.ModelBundle`
        part : {'encoder', 'decoder', 'generator', 'heads', 'quantities'}
            The last two are small: they run in single precision, in batches of their own
            size. So does the generator in its precision, as bundles have no other.

        Returns
        -------
        runner : `~galvae_affiliated.models._runner.GraphRunner`

        Raises
        ------
        BundleError
            If the model does not have the graph in this precision.
        """
        is_small = part in LATENT_PARTS
        has_one = is_small or part == 'generator'
        is_whole = has_one or (self.precision == 'int8' and part != 'encoder')
        precision = 'float32' if is_whole else self.precision
        batch_size = LATENT_BATCH if is_small else self.batch_size
        # 'auto' with half precision is a GPU, which runs single precision as well
        return self._kept((model.sha256, part), lambda: model.graph(part, precision),
                          batch_size, precision, label=f'{model.id}: {part}.onnx',
                          shapes=_output_shapes(model, part))

    def residual_runner(self, *, few=False):
        """What runs the graph of the residuals, also of few bands; the same for all models."""
        return self._kept(('residual', few), lambda: residual_graph(few), self.batch_size,
                          'float32')

    def _kept(self, name, graph, batch_size, precision, **about):
        """The runner of these settings; ``graph`` gives its bytes where there is none yet."""
        # a process that was forked has others: the threads of its parent's sessions are not
        # there, and it would wait for them for ever
        key = os.getpid(), name, self.device, batch_size, self.n_threads, precision
        with _LOCK:
            if key not in _RUNNERS:
                _RUNNERS[key] = GraphRunner(graph(), device=self.device, batch_size=batch_size,
                                            n_threads=self.n_threads, precision=precision,
                                            **about)
            _RUNNERS.move_to_end(key)
            while len(_RUNNERS) > MAX_RUNNERS:
                _RUNNERS.popitem(last=False)
            return _RUNNERS[key]


def _output_shapes(model, part):
    """Shape of a row of each output of a part, as the manifest of the model has it."""
    image = 3, model.grid, model.grid
    if part == 'encoder':
        latent = model.n_latents,
        return {'latent_mean': latent, 'latent_logvar': latent, 'latent_pose': (model.n_pose,),
                'frame': image, 'weight': image}
    if part in ('decoder', 'generator'):
        return {'composite': image}
    if part == 'heads':
        return {'fractions': (sum(map(len, model.questions.values())),),
                'concentration': (len(model.questions),)}
    names = model.manifest.quantities.names if model.manifest.quantities else ()
    return {'values': (len(names),), 'errors': (len(names),)}
