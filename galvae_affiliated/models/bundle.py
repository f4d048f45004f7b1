# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One file that holds a model: graphs, manifest, self-test."""

import functools
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models._devices import BATCH_SIZE, check_device
from galvae_affiliated.models._runner import GraphRunner

__all__ = ['ModelBundle']

SCHEMA_VERSION = 1
DIGEST_MARK = b'galvae-sha256:'
DIGEST_SIZE = 64
# keys of the manifest that the package reads; a bundle without them is refused
REQUIRED = ('schema_version', 'name', 'version', 'input', 'renderings', 'latents', 'questions', 'reconstruction',
            'parts')
GRAPHS = ('encoder.onnx', 'decoder.onnx')
HEADS = 'heads.onnx'  # a model that answers no question has none
SELF_TEST = 'self_test.npz'


class ModelBundle:
    """
    A trained model: ONNX graphs, a manifest, and vectors to test them with.

    The file is a ZIP archive that ends with the SHA-256 of all that is before
    it, so one changed bit anywhere is found. Nothing in it is executed by
    Python. A bundle does not change once it is made; copies are the same object.

    Parameters
    ----------
    manifest : dict
        What the model is; see the documentation's page on bundles.
    parts : dict of str to bytes
        'encoder.onnx', 'decoder.onnx' and 'self_test.npz', and 'heads.onnx' if the model answers questions.

    Raises
    ------
    BundleError
        If a part or a key of the manifest is missing, a part does not have the
        SHA-256 that the manifest states, or the schema is a later one.
    """

    runner_class = GraphRunner  # of the graphs

    def __init__(self, manifest, parts):
        check_manifest(manifest, parts)
        self._manifest = json.loads(json.dumps(manifest))
        self._parts = dict(parts)

    def __repr__(self):
        return f'<ModelBundle {self.id}: {self.n_latents} latents, {len(self.questions)} questions>'

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        # scikit-learn's clone copies parameters deeply; a frozen bundle is its own copy
        return self

    def __eq__(self, other):
        return isinstance(other, ModelBundle) and self.sha256 == other.sha256

    def __hash__(self):
        return hash(self.sha256)

    @property
    def manifest(self):
        """dict : A copy of the manifest."""
        return json.loads(json.dumps(self._manifest))

    @functools.cached_property
    def sha256(self):
        """str : Hash of the manifest, which holds the hashes of all parts."""
        return hashlib.sha256(canonical_json(self._manifest)).hexdigest()

    @property
    def name(self):
        """str : Name of the model."""
        return self._manifest['name']

    @property
    def id(self):
        """str : Name and the start of the hash; written on every column."""
        return f'{self.name}@{self.sha256[:12]}'

    @property
    def same_latents(self):
        """list of str : Ids of the models that give the same latents: this one, and those whose encoder it took."""
        return [self.id, *self._manifest['latents'].get('same_as', [])]

    @property
    def n_latents(self):
        """int : Length of the latent vector."""
        return self._manifest['latents']['n_latents']

    @property
    def n_pose(self):
        """int : Length of the pose vector."""
        return self._manifest['latents']['n_pose']

    @property
    def grid(self):
        """int : Side of a cutout in pixels."""
        return self._manifest['input']['grid']

    @property
    def field_of_view(self):
        """float : Side of a cutout in units of petroR90."""
        return self._manifest['input']['field_of_view']

    @property
    def questions(self):
        """dict : Question to its answers, in the order of the heads' columns."""
        return {q: list(entry['answers']) for q, entry in self._manifest['questions'].items()}

    @property
    def renderings(self):
        """list of dict : The doors into the encoder, in the order of the graph's table."""
        return self.manifest['renderings']

    def rendering_index(self, names):
        """
        Rows of the encoder's table of renderings.

        Parameters
        ----------
        names : (N,) array of str
            Names of renderings, one a cutout.

        Returns
        -------
        index : (N,) int64 array

        Raises
        ------
        ValueError
            For a name that the model does not know.
        """
        known = [entry['name'] for entry in self._manifest['renderings']]
        unique, inverse = np.unique(np.asarray(names, dtype=str), return_inverse=True)
        unknown = [str(name) for name in unique if name not in known]
        if unknown:
            raise ValueError(f'the model {self.name} has no rendering {unknown[0]!r}; it has {", ".join(known)}')
        return np.array([known.index(name) for name in unique], dtype=np.int64)[inverse.ravel()]

    def runner(self, graph, *, device='auto', batch_size=BATCH_SIZE, n_threads=None, precision='float32'):
        """
        A runner of one of the graphs.

        Parameters
        ----------
        graph : {'encoder', 'decoder', 'heads', 'targets'}
        device : {'auto', 'cpu', 'cuda', 'tensorrt'}
            'auto' takes CUDA where it starts and the CPU otherwise.
        batch_size : int
            Rows a call of the graph.
        n_threads : int, optional
            Threads on the CPU; None takes the processors that the process may use.
        precision : {'float32', 'float16'}
            'float16' takes the part of the bundle that computes in half
            precision, which only encoder and decoder may have; for GPUs.

        Returns
        -------
        runner : `~galvae_affiliated.models._runner.GraphRunner`

        Raises
        ------
        ValueError
            For names that do not exist, half precision on the CPU, or a batch size or threads below 1.
        BundleError
            If the bundle does not have the graph in this precision.
        """
        part = f'{graph}.onnx' if precision == 'float32' else f'{graph}.{precision}.onnx'
        check_device(device, precision)
        if part not in self._parts:
            raise BundleError(f'{self.id} has no {part}; it has {", ".join(self._parts)}')
        return self.runner_class(self._parts[part], device=device, batch_size=batch_size, n_threads=n_threads,
                                 precision=precision)

    @classmethod
    def read(cls, source):
        """
        Read a bundle; it is recognised by its content, not by its name.

        Parameters
        ----------
        source : str, path, or bytes
            A file, or the content of one.

        Returns
        -------
        model : `ModelBundle`

        Raises
        ------
        BundleError
            Naming the file and what is wrong with it.
        FileNotFoundError
            If there is no such file.
        """
        name = 'the given bytes' if isinstance(source, bytes) else str(source)
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        try:
            return cls(*unpack(content))
        except BundleError as error:
            raise BundleError(f'{name}: {error}') from None

    def write(self, path, *, overwrite=False):
        """
        Write the bundle to one file; a file that cannot be finished is not left behind.

        Parameters
        ----------
        path : str or path
        overwrite : bool, optional
            Replace a file that exists.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is false.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise FileExistsError(f'{path} exists; overwrite=True replaces it')
        unfinished = path.with_name(path.name + '.part')
        try:
            unfinished.write_bytes(pack(self._manifest, self._parts))
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    def verify(self, *, device='auto', precision='float32'):
        """
        Run the self-test and compare with what the model gave when it was made.

        Parameters
        ----------
        device : {'auto', 'cpu', 'cuda', 'tensorrt'}
        precision : {'float32', 'float16'}
            Of encoder and decoder.

        Returns
        -------
        report : dict
            ``device`` that ran, and the largest absolute difference of each output.

        Raises
        ------
        BundleError
            If an output differs by more than the tolerance in the manifest, or
            the bundle has no graphs or no tolerance of this precision.
        ValueError
            For half precision on the CPU.
        DeviceError
            If the device does not start.
        """
        vectors = dict(np.load(io.BytesIO(self._parts[SELF_TEST])))
        options = {'device': device, 'precision': precision}
        encoder = self.runner('encoder', **options)
        mean, logvar, pose = encoder({k: vectors[k] for k in ('image', 'rendering')},
                                     ['latent_mean', 'latent_logvar', 'latent_pose'])
        image, = self.runner('decoder', **options)({k: vectors[k] for k in ('latent', 'pose')}, ['composite'])
        found = {'encoded': mean, 'logvar': logvar, 'encoded_pose': pose, 'decoded': image}
        if self.questions:
            found['fractions'], = self.runner('heads', device=device)({'latent': vectors['latent']}, ['fractions'])
        report = {name: float(np.abs(value - vectors[name]).max(initial=0.0)) for name, value in found.items()}
        tolerance = self.tolerance(encoder.device, precision)
        worst = max(report, key=report.get)
        if not report[worst] <= tolerance:
            raise BundleError(f'{self.id} fails its self-test on {encoder.device} in {precision}: {worst} differs by '
                              f'{report[worst]:.2g}, more than {tolerance:.2g}')
        return {'device': encoder.device, **report}

    def tolerance(self, device, precision='float32'):
        """
        Largest difference from the self-test that a sound model may have.

        Parameters
        ----------
        device : {'cpu', 'cuda', 'tensorrt'}
        precision : {'float32', 'float16'}

        Returns
        -------
        tolerance : float
        """
        # both compute on a GPU, in another order than a CPU does
        kind = precision if precision != 'float32' else device.replace('tensorrt', 'cuda')
        tolerances = self._manifest.get('self_test_tolerance', {})
        if kind not in tolerances:
            raise BundleError(f'{self.id} states no tolerance of its self-test for {kind}')
        return tolerances[kind]


def check_manifest(manifest, parts):
    """Refuse what this version cannot use, naming the reason."""
    if not isinstance(manifest, dict) or 'schema_version' not in manifest:
        raise BundleError('the manifest states no schema version')
    if manifest['schema_version'] != SCHEMA_VERSION:
        raise BundleError(f'the bundle has schema version {manifest["schema_version"]}; this version of '
                          f'galvae_affiliated reads {SCHEMA_VERSION}: upgrade one of them')
    missing = [key for key in REQUIRED if key not in manifest]
    needed = [*GRAPHS, SELF_TEST] + [HEADS] * bool(manifest.get('questions'))
    missing += [part for part in needed if part not in parts]
    if missing:
        raise BundleError(f'the bundle lacks {", ".join(missing)}')
    for part, content in parts.items():
        if hashlib.sha256(content).hexdigest() != manifest['parts'].get(part):
            raise BundleError(f'{part} does not have the SHA-256 that the manifest states')


def canonical_json(manifest):
    """The manifest as it is hashed and written; the order of the questions is that of the heads' columns."""
    return json.dumps(manifest, indent=1).encode()


def pack(manifest, parts):
    """Bytes of a bundle; the same model gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in {'manifest.json': canonical_json(manifest), **parts}.items():
            # a fixed date: the archive depends on its content alone
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
        archive.comment = DIGEST_MARK + b'0' * DIGEST_SIZE
    body = buffer.getvalue()[:-DIGEST_SIZE]
    return body + hashlib.sha256(body).hexdigest().encode()


def unpack(content):
    """Manifest and parts of a bundle's bytes."""
    if not content.startswith(b'PK') or DIGEST_MARK not in content[-DIGEST_SIZE - len(DIGEST_MARK):]:
        raise BundleError('this is not a model bundle, or it is cut short')
    body, digest = content[:-DIGEST_SIZE], content[-DIGEST_SIZE:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise BundleError('the file is damaged: its SHA-256 is not the one written at its end')
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    try:
        manifest = json.loads(parts.pop('manifest.json'))
    except (KeyError, ValueError):
        raise BundleError('there is no readable manifest.json in it') from None
    return manifest, parts


def replaced_parts(manifest, parts, changes):
    """A manifest and parts with some parts changed or added, and the hashes of all."""
    parts = {**parts, **changes}
    return {**manifest, 'parts': {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}}, parts
