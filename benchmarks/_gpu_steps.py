# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The steps of ``bench_gpu.py``; each takes its settings and gives the rows of a table.

A row is what was looked at, what was found, and whether that is as it should be: True, False, or
None for a figure that is none of both. With ``device='cpu'`` in the settings most steps run on a
processor too, which is how they are tested.
"""

import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from _field import simulate
from astropy.table import Table

from galvae_affiliated import DeviceError, Engine, encode_catalog, get_model, make_cutouts
from galvae_affiliated.models import Encoder
from galvae_affiliated.models.votes import predict_votes

GIB = 1 << 30
# latents of two devices may differ by so many of their own errors
MOST_SHIFT = {'float32': 0.05, 'float16': 0.5}
MOST_CHI2 = {'float32': 0.01, 'float16': 0.05}  # relative, in the median
WARM, TIMED = 1, 3  # runs before the timed ones, and these, of which the fastest counts
VERSIONS = ('galvae_affiliated', 'onnxruntime-gpu', 'onnxruntime', 'torch', 'nvidia-cudnn-cu13',
            'nvidia-cudnn-cu12')
HIDDEN = """
from galvae_affiliated import DeviceError, Engine, get_model
model = get_model()
print(Engine().runner(model, 'encoder').device)
for options in ({'device': 'cuda'}, {'precision': 'float16'}):
    try:
        Engine(**options).runner(model, 'encoder').start()
        print('STARTED')
    except DeviceError as error:
        print(error)
"""


def about_machine(settings):
    """What there is: GPUs, driver, versions, and what the doctor says of all of it."""
    from importlib import metadata

    from galvae_affiliated.models import diagnose
    from galvae_affiliated.models._sessions import built_for_cuda

    rows = [('processor', f'{platform.machine()}, {os.cpu_count()} processors', None)]
    for name in VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            rows.append((name, metadata.version(name), None))
    rows.append(('ONNX Runtime is built for CUDA', built_for_cuda(), None))
    rows += [(f'doctor: {line.split()[0]}', ' '.join(line.split()[1:]), good)
             for line, good in diagnose() if line.split()[0] in ('GPU', 'cpu', 'cuda', 'install')]
    return rows


def selection(settings):
    """Whether 'auto' and 'cuda' take the GPU, and all operators of the networks run there."""
    model, device = get_model(settings['model']), settings['device']
    rows = []
    for asked in ('auto', device):
        found = Engine(device=asked).runner(model, 'encoder').device
        rows.append((f'device={asked!r} runs on', found, found == device))
    for part in ('encoder', 'decoder', 'heads'):
        counts = placement(model.graph(part), device)
        own = counts.pop(device, 0)
        others = ', '.join(f'{n} on {name}' for name, n in counts.items())
        # a few operators of shapes are the processor's by ONNX Runtime's own choice
        rows.append((f'{part}: operators on the device', f'{own}; {others or "none elsewhere"}',
                     own > 0 and sum(counts.values()) <= 0.1 * own))
    return rows


def placement(graph, device, batch_size=64):
    """Device to number of operators of a graph, as ONNX Runtime assigns them."""
    from galvae_affiliated.models import _sessions
    from galvae_affiliated.models._devices import DEVICES, providers

    options = _sessions.session_options()
    options.add_session_config_entry('session.record_ep_graph_assignment_info', '1')
    for name in _sessions.row_dimensions(graph):
        options.add_free_dimension_override_by_name(name, batch_size)
    session = _sessions.quiet_session(graph, options, providers(device))
    names = {provider: name for name, provider in DEVICES.items()}
    counts = {}
    for some in session.get_provider_graph_assignment_info():
        name = names.get(some.ep_name, some.ep_name)
        counts[name] = counts.get(name, 0) + len(some.get_nodes())
    return counts


def hidden(settings):
    """Whether a GPU that is hidden is refused where it was asked for, and done without else."""
    done = subprocess.run([sys.executable, '-c', HIDDEN], capture_output=True, text=True,
                          check=False, env={**os.environ, 'CUDA_VISIBLE_DEVICES': ''})
    found = [*done.stdout.splitlines(), '', '', ''][:3]
    return [("hidden: 'auto' runs on", found[0] or done.stderr[-200:], found[0] == 'cpu'),
            ("hidden: 'cuda'", found[1], 'was asked for, but CUDA did not start' in found[1]),
            ("hidden: 'float16'", found[2], 'no GPU started' in found[2]),
            ('hidden: on the standard error stream', done.stderr[-200:] or 'nothing',
             not done.stderr)]


def cutouts(settings):
    """Cutouts of a simulated field, which is made once."""
    field = simulate(settings['folder'], settings['size'], settings['sources'])
    return make_cutouts(field.images, Table.read(field.catalog), settings['model'],
                        bands=list(field.images))


def parity(settings, precision):
    """The self-test of the model, and latents, votes and residuals beside those of the CPU."""
    model, device = get_model(settings['model']), settings['device']
    stack = cutouts(settings)
    report = model.verify(device=device, precision=precision)
    worst = {key: value for key, value in report.items() if key != 'device'}
    rows = [(f'{precision}: self-test, largest difference',
             f'{max(worst.values()):.2g} ({max(worst, key=worst.get)})', True)]
    expected = Encoder(model, Engine(device='cpu')).encode(stack)
    engine = Engine(device=device, precision=precision, batch_size=settings['batches'][0])
    found = Encoder(model, engine).encode(stack)
    good = stack.measured
    shift = np.abs(found.latent - expected.latent)[good] / expected.latent_err[good]
    limit = MOST_SHIFT[precision]
    rows.append((f'{precision}: latents of {good.sum()} cutouts, largest difference / error',
                 f'{shift.max():.3g}, median {np.median(shift):.2g}', shift.max() < limit))
    if model.questions:
        votes = [predict_votes(one, model, engine=Engine(device='cpu')).fractions
                 for one in (expected.latent[good], found.latent[good])]
        apart = max(float(np.abs(a - b).max()) for a, b in zip(*map(_arrays, votes)))
        rows.append((f'{precision}: vote fractions, largest difference', f'{apart:.2g}',
                     apart < limit))
    chi2 = np.abs(found.recon_chi2 / expected.recon_chi2 - 1)[good]
    rows.append((f'{precision}: chi2 of the reconstruction, median difference',
                 f'{np.nanmedian(chi2):.2g}', np.nanmedian(chi2) < MOST_CHI2[precision]))
    return rows


def _arrays(fractions):
    return list(fractions.values()) if isinstance(fractions, dict) else [fractions]


def binding(settings):
    """Whether results stay on the device from encoder to decoder, and what that saves."""
    model, device = get_model(settings['model']), settings['device']
    stack = cutouts(settings)
    n = min(len(stack), settings['batches'][0])
    engine = Engine(device=device, batch_size=n)
    encoder, decoder = (engine.runner(model, part) for part in ('encoder', 'decoder'))
    index = model.rendering_index(stack.rendering[:n])
    inputs = encoder.batch({'image': np.nan_to_num(stack.data[:n]), 'rendering': index},
                           slice(0, n))

    def chained():
        latent, pose = encoder.run_batch(inputs, ['latent_mean', 'latent_pose'])
        return decoder.run_batch({'latent': latent, 'pose': pose}, ['composite'])[0], latent

    def copied():
        latent, pose = (value.numpy() for value in
                        encoder.run_batch(inputs, ['latent_mean', 'latent_pose']))
        return decoder.run_batch({'latent': latent, 'pose': pose}, ['composite'])[0], latent

    image, latent = chained()
    same = np.abs(image.numpy() - copied()[0].numpy()).max()
    where = latent.device_name()
    return [('results of the encoder are on', where, where == device),
            ('decoded through copies, largest difference', f'{same:.2g}', same < 1e-3),
            (f'a batch of {n}, results on the device', f'{1e3 * fastest(chained):.3g} ms', None),
            (f'a batch of {n}, through copies', f'{1e3 * fastest(copied):.3g} ms', None)]


def fastest(function):
    """Seconds of the fastest of some runs, after one that does not count."""
    for _ in range(WARM):
        function()
    seconds = []
    for _ in range(TIMED):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def rates(settings, precision):
    """Galaxies a second of the encoder by batch, and the memory of the device that it takes."""
    model, device = get_model(settings['model']), settings['device']
    rows, before = [], used_memory()
    for batch in settings['batches']:
        runner = Engine(device=device, precision=precision, batch_size=batch).runner(
            model, 'encoder')
        rate = encoder_rate(runner, model, settings)
        rows.append((f'{device}, {precision}, batches of {batch}', f'{rate:.0f} galaxies/s', None))
    after = used_memory()
    if None not in (before, after):
        rows.append((f'{device}, {precision}: memory of the device with all of these sessions',
                     f'{(after - before) / GIB:.2f} GiB', None))
    return rows


def encoder_rate(runner, model, settings):
    """Galaxies a second of a runner of the encoder; images are copied to the device."""
    n = max(runner.batch_size, settings['least'])
    n -= n % runner.batch_size
    inputs = {'image': noise(n, model.grid), 'rendering': np.zeros(n, np.int64)}
    seconds = fastest(lambda: runner(inputs, ['latent_mean', 'latent_logvar']))
    return n / seconds


def noise(n, grid):
    """(n, 3, grid, grid) float32 in [0, 1]; a few images over and over, as no value counts."""
    few = np.random.default_rng(0).random((min(n, 64), 3, grid, grid), dtype=np.float32)
    return np.resize(few, (n, 3, grid, grid))


def used_memory():
    """Bytes of the GPU that are taken by anybody; None where nobody says."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return total - free


def cpu_rates(settings):
    """The same on the processor of this machine, with all its threads and with one."""
    model, rows = get_model(settings['model']), []
    for n_threads in (None, 1):
        runner = Engine(device='cpu', n_threads=n_threads).runner(model, 'encoder')
        rate = encoder_rate(runner, model, {**settings, 'least': settings['least'] // 4})
        name = f'{runner.workers} threads' if n_threads is None else '1 thread'
        rows.append((f'cpu, float32, {name}', f'{rate:.0f} galaxies/s', None))
    return rows


def torch_rates(settings):
    """The same network in PyTorch, eager and compiled, in single and half precision."""
    import torch

    from galvae_affiliated.training.networks.from_bundle import network_of_bundle

    model, device = get_model(settings['model']), settings['device']
    images = torch.from_numpy(noise(64, model.grid))
    encoder = network_of_bundle(model, images).encoder.to(device)
    batch = settings['batches'][-1]
    data, rows = torch.from_numpy(noise(batch, model.grid)), []
    for name, call in (('eager', encoder), ('compiled', torch.compile(encoder))):
        for precision, kind in (('float32', None), ('bfloat16', torch.bfloat16)):
            try:
                rate = batch / fastest(partial(_torch_run, call, data, device, kind))
                found = f'{rate:.0f} galaxies/s'
            except Exception as error:  # a compiler may be missing, which is no fault of ours
                found = f'did not run: {str(error).splitlines()[0][:80]}'
            rows.append((f'PyTorch on {device}, {name}, {precision}, batches of {batch}', found,
                         None))
    return rows


def _torch_run(call, data, device, kind):
    """Encode a batch that is on the host, as ours is, and bring the latents back."""
    import torch

    context = (contextlib.nullcontext() if kind is None
               else torch.autocast(torch.device(device).type, dtype=kind))
    with torch.inference_mode(), context:
        mean, _ = call(data.to(device))
        return mean.float().cpu()


def tables(settings):
    """Seconds from images to table of a field, on the device and on the processor."""
    field = simulate(settings['folder'], settings['size'], settings['sources'])
    catalog, rows = Table.read(field.catalog), []
    for device, batch in ((settings['device'], settings['batches'][0]), ('cpu', 16)):
        encode_catalog(field.images, catalog[:16], settings['model'], device=device,
                       batch_size=batch)
        start = time.perf_counter()
        table = encode_catalog(field.images, catalog, settings['model'], device=device,
                               batch_size=batch)
        seconds = time.perf_counter() - start
        rows.append((f'{device}: {len(table)} sources of {field.size} x {field.size} pixels to a '
                     'table', f'{seconds:.2f} s, {len(table) / seconds:.0f} galaxies/s',
                     np.isfinite(np.ma.filled(table['galvae_latent'], np.nan)).all()))
    return rows


def training(settings):
    """Steps a second of a residual network, on the device in half precision and on the CPU."""
    rows, losses = [], {}
    device = settings['device']
    for accelerator, precision, steps in (
            ('gpu' if device == 'cuda' else device, 'bf16-mixed', settings['steps']),
            ('cpu', '32-true', settings['cpu_steps'])):
        seconds, loss = trained(settings, accelerator, precision, steps)
        losses[accelerator] = loss
        rows.append((f'training on {accelerator}, {precision}, {settings["train_batch"]} galaxies '
                     'a step', f'{1 / seconds:.3g} steps/s', np.isfinite(loss)))
    return rows


def trained(settings, accelerator, precision, steps):
    """Seconds a step after the first ones, and the last loss."""
    import logging
    import warnings

    import lightning

    from galvae_affiliated.training import TrainingConfig
    from galvae_affiliated.training.data.dataset import GalaxySet
    from galvae_affiliated.training.fit import fit_model

    class Losses(lightning.Callback):
        values = []

        def on_train_batch_end(self, trainer, module, outputs, *_):
            self.values.append(float(outputs['loss']))

    config = TrainingConfig.of_preset('vae', steps=steps, batch_size=settings['train_batch'],
                                      accelerator=accelerator, precision=precision,
                                      **settings['network'])
    grid, n = config.model.grid, 4 * settings['train_batch']
    images = np.random.default_rng(1).integers(0, 255, (n, grid, grid, 3), dtype=np.uint8)
    times, losses = [], Losses()
    logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of few workers, and no logger
        fit_model(config, GalaxySet(images, np.arange(n).astype(str)), Path(folder) / 'run',
                  logger=False, progress=lambda *_: times.append(time.perf_counter()),
                  callbacks=[losses])
    first = len(times) // 3
    return (times[-1] - times[first]) / max(len(times) - 1 - first, 1), losses.values[-1]


def refused(settings):
    """Whether wrong calls about devices are errors, as the processor has them too."""
    rows = []
    for options, kind in (({'device': 'cpu', 'precision': 'float16'}, ValueError),
                          ({'device': 'cuda', 'precision': 'int8'}, ValueError),
                          ({'device': 'tpu'}, ValueError)):
        try:
            Engine(**options)
            found = 'no error'
        except (ValueError, DeviceError) as error:
            found = type(error).__name__
        rows.append((f'Engine({options})', found, found == kind.__name__))
    return rows
