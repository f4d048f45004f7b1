# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One file that holds a model: graphs, manifest, self-test."""

import functools
import hashlib
from types import MappingProxyType

import numpy as np

from galvae_affiliated._atomic import check_output, replacing
from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models._archive import pack, read_file, unpack
from galvae_affiliated.models._graph_check import check_graph
from galvae_affiliated.models.adapter import ADAPTER, LatentMap
from galvae_affiliated.models.applicability import APPLICABILITY, ApplicabilityTest
from galvae_affiliated.models.density import DENSITY, LatentDensity
from galvae_affiliated.models.engine import Engine
from galvae_affiliated.models.generation import generate
from galvae_affiliated.models.manifest import Manifest
from galvae_affiliated.models.self_test import SELF_TEST, verify

__all__ = ['ModelBundle']

INT8 = '+int8'  # after the id of a model whose encoder computed in eight bits
ARRAY_PARTS = ('density', 'adapter', 'applicability')


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
        'encoder.onnx', 'decoder.onnx' and 'self_test.npz', 'heads.onnx' if the model answers
        questions, 'quantities.onnx' if it was taught quantities, and 'generator.onnx',
        'density.npz', 'adapter.npz' and 'applicability.npz' if the manifest says so.

    Raises
    ------
    BundleError
        If a part or an entry of the manifest is missing or wrong, a part does not have the
        SHA-256 that the manifest states, or the schema is another.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> model = get_model()
    >>> model.n_latents, model.n_pose, model.grid, model.field_of_view
    (40, 8, 128, 5.12)
    >>> model.questions['bar']
    ['yes', 'no']
    """

    def __init__(self, manifest, parts):
        self._manifest = Manifest.parse(manifest)
        self._parts = MappingProxyType(dict(parts))
        self._check_parts()

    def _check_parts(self):
        needed = ['encoder.onnx', 'decoder.onnx', SELF_TEST]
        needed += ['heads.onnx'] * bool(self.questions)
        needed += ['quantities.onnx'] * bool(self._manifest.quantities)
        needed += ['generator.onnx'] * bool(self._manifest.noise_shape)
        needed += [f'{name}.npz' for name in ARRAY_PARTS if getattr(self._manifest, name)]
        missing = [part for part in needed if part not in self._parts]
        if missing:
            raise BundleError(f'the bundle lacks {", ".join(missing)}')
        for part, content in self._parts.items():
            if hashlib.sha256(content).hexdigest() != self._manifest.parts.get(part):
                raise BundleError(f'{part} does not have the SHA-256 that the manifest states')

    def __repr__(self):
        return (f'<ModelBundle {self.id}: {self.n_latents} latents, '
                f'{len(self.questions)} questions>')

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        # scikit-learn's clone copies parameters deeply; a frozen bundle is its own copy
        return self

    def __reduce__(self):
        return type(self), (self._manifest.raw, dict(self._parts))

    def __eq__(self, other):
        return isinstance(other, ModelBundle) and self.sha256 == other.sha256

    def __hash__(self):
        return hash(self.sha256)

    @property
    def manifest(self):
        """`~galvae_affiliated.models.Manifest` : What the model is."""
        return self._manifest

    @property
    def parts(self):
        """mapping of str to bytes : The files of the bundle but for the manifest."""
        return self._parts

    @functools.cached_property
    def sha256(self):
        """str : Hash of the manifest, which holds the hashes of all parts."""
        return hashlib.sha256(self._manifest.content).hexdigest()

    @property
    def name(self):
        """str : Name of the model."""
        return self._manifest.name

    @property
    def id(self):
        """str : Name and the start of the hash; written on every column."""
        return f'{self.name}@{self.sha256[:12]}'

    def id_in(self, precision):
        """
        The id of what the model gives in a precision.

        Parameters
        ----------
        precision : {'float32', 'float16', 'int8'}

        Returns
        -------
        id : str
            The model's own, but for eight bits, whose latents are a little other ones.
        """
        return f'{self.id}{INT8}' if precision == 'int8' else self.id

    @property
    def same_latents(self):
        """
        list of str : Ids of the models that give the same latents, this one first.

        What their encoders give in eight bits is as good for the heads, and comes last.
        """
        ids = [self.id, *self._manifest.same_as]
        return [*ids, *(f'{one}{INT8}' for one in ids)]

    @property
    def n_latents(self):
        """int : Length of the latent vector."""
        return self._manifest.n_latents

    @property
    def n_pose(self):
        """int : Length of the pose vector."""
        return self._manifest.n_pose

    @property
    def frame(self):
        """`~galvae_affiliated.cutouts.ModelFrame` : How images enter."""
        return self._manifest.frame

    @property
    def grid(self):
        """int : Side of a cutout in pixels."""
        return self.frame.grid

    @property
    def field_of_view(self):
        """float : Side of a cutout in units of petroR90."""
        return self.frame.field_of_view

    @property
    def questions(self):
        """mapping : Question to its answers, in the order of the columns of the heads."""
        return {name: list(entry.answers) for name, entry in self._manifest.questions.items()}

    @functools.cached_property
    def density(self):
        """`~galvae_affiliated.models.LatentDensity` or None : Of the training latents."""
        table = self._manifest.density
        if table is None:
            return None
        return self._array_part(DENSITY, lambda content: LatentDensity.read(
            content, table, self.n_latents, self.n_pose))

    @functools.cached_property
    def adapter(self):
        """`~galvae_affiliated.models.LatentMap` or None : From latents of another survey."""
        if self._manifest.adapter is None:
            return None
        return self._array_part(ADAPTER, lambda content: LatentMap.read(content, self.n_latents))

    @functools.cached_property
    def applicability(self):
        """`~galvae_affiliated.models.ApplicabilityTest` or None : How rows are told as unlike."""
        table = self._manifest.applicability
        if table is None:
            return None
        return self._array_part(APPLICABILITY, lambda content: ApplicabilityTest.read(
            content, table, self.n_latents))

    def _array_part(self, name, read):
        """What is made of the arrays of a part; an error names it."""
        try:
            return read(self._parts[name])
        except BundleError as error:
            raise BundleError(f'{name}: {error}') from None

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
        known = [entry.name for entry in self.frame.renderings]
        unique, inverse = np.unique(np.asarray(names, dtype=str), return_inverse=True)
        unknown = [str(name) for name in unique if name not in known]
        if unknown:
            raise ValueError(f'the model {self.name} has no rendering {unknown[0]!r}; '
                             f'it has {", ".join(known)}')
        index = np.array([known.index(name) for name in unique], dtype=np.int64)
        return index[inverse.ravel()]

    def graph(self, part, precision='float32'):
        """
        One of the ONNX graphs.

        Parameters
        ----------
        part : {'encoder', 'decoder', 'heads', 'quantities'}
        precision : {'float32', 'float16', 'int8'}, optional
            The others take the graph that computes in half precision, or in eight bits.

        Returns
        -------
        graph : bytes

        Raises
        ------
        BundleError
            If the bundle does not have the graph in this precision.
        """
        name = f'{part}.onnx' if precision == 'float32' else f'{part}.{precision}.onnx'
        if name not in self._parts:
            raise BundleError(f'{self.id} has no {name}; it has {", ".join(self._parts)}')
        return self._parts[name]

    @classmethod
    def from_parts(cls, manifest, parts):
        """
        A bundle of these parts, whose hashes are written into the manifest.

        Parameters
        ----------
        manifest : dict
            Without ``parts``, or with those of another bundle.
        parts : dict of str to bytes

        Returns
        -------
        bundle : `ModelBundle`
        """
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}
        return cls({**manifest, 'parts': hashes}, parts)

    def replaced(self, manifest=None, parts=None):
        """
        Another bundle, with some entries of the manifest or some parts in place of these.

        Parameters
        ----------
        manifest : dict, optional
            All entries; None keeps those of this bundle.
        parts : dict of str to bytes or None, optional
            New and changed parts; None removes one.

        Returns
        -------
        bundle : `ModelBundle`
        """
        merged = {**self._parts, **(parts or {})}
        kept = {name: content for name, content in merged.items() if content is not None}
        return self.from_parts(self._manifest.raw if manifest is None else manifest, kept)

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
        bundle : `ModelBundle`

        Raises
        ------
        BundleError
            Naming the file and what is wrong with it.
        FileNotFoundError
            If there is no such file.
        """
        name = 'the given bytes' if isinstance(source, bytes) else str(source)
        try:
            content = source if isinstance(source, bytes) else read_file(source)
            bundle = cls(*unpack(content))
            bundle.check_graphs()
            bundle.check_arrays()
        except BundleError as error:
            raise BundleError(f'{name}: {error}') from None
        return bundle

    def check_graphs(self):
        """
        Refuse graphs that a bundle may not hold; what runs them does so once more.

        Raises
        ------
        BundleError
            If a graph takes values from another file, or may run for ever.
        """
        for name, content in self._parts.items():
            if name.endswith('.onnx'):
                try:
                    check_graph(content)
                except BundleError as error:
                    raise BundleError(f'{name}: {error}') from None

    def check_arrays(self):
        """
        Refuse parts whose arrays are not what they have to be.

        Raises
        ------
        BundleError
            Naming the part and the array.
        """
        for name in ARRAY_PARTS:
            getattr(self, name)

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
        FileNotFoundError
            If there is no such folder.
        """
        check_output(path, overwrite)
        with replacing(path) as unfinished:
            unfinished.write_bytes(pack(self._manifest.content, self._parts))

    def generate(self, n, *, random_state=None, answers=None, quantities=None, radius=None,
                 temperature=1.0, details='all', engine=None):
        """
        Draw galaxies from the density of the latents, and decode them.

        Parameters
        ----------
        n : int
            How many.
        random_state : int or `numpy.random.Generator`, optional
            The same number gives the same galaxies.
        answers : mapping of str to str, optional
            Question to the answer that the heads of the model are to give, such as
            ``{'bar': 'yes'}``. What leads to the question is asked for too.
        quantities : mapping of str to float, optional
            Values of quantities of the model.
        radius : float, optional
            petroR90 in the unit that the model's quantities need, where they need one.
        temperature : float, optional
            Factor on the widths of the density's components. Below one, galaxies are more
            typical, and statistics of them are not those of the training set.
        details : {'all', 'galaxy', 'none'}, optional
            What a sharp decoder draws: knots, arms and the texture of the sky, so that images look
            like data; knots and arms alone; or nothing, which is the smooth decoder's image.
        engine : `~galvae_affiliated.Engine`, optional
            Where and how to compute.

        Returns
        -------
        galaxies : `~galvae_affiliated.models.GeneratedGalaxies`
            Images of the model's grid, with their latents.

        Raises
        ------
        ValueError
            If the model has no density, a question, an answer or a quantity is none of its
            own, answers contradict each other, or no galaxy has such a quantity.

        Warns
        -----
        GalvaeWarning
            If hardly any galaxy of the training has what is asked for, with their number.
        """
        return generate(self, n, random_state=random_state, answers=answers,
                        quantities=quantities, radius=radius, temperature=temperature,
                        details=details, engine=engine)

    def verify(self, *, device='auto', precision='float32'):
        """
        Run the self-test of every part and compare with what it gave when it was made.

        Parameters
        ----------
        device : {'auto', 'cpu', 'cuda'}
        precision : {'float32', 'float16', 'int8'}
            Of encoder and decoder.

        Returns
        -------
        report : dict
            ``device`` that ran, and the largest difference of each output, such as
            'encoder/latent_mean'.

        Raises
        ------
        BundleError
            If an output differs by more than the tolerance in the manifest, a part cannot be
            run or has no self-test, or the bundle has no graphs or no tolerance of this
            precision.
        ValueError
            For half precision on the CPU.
        DeviceError
            If the device does not start.
        """
        return verify(self, Engine(device=device, precision=precision))

    def tolerance(self, device, precision='float32'):
        """
        Largest difference from the self-test that a sound model may have.

        Parameters
        ----------
        device : {'cpu', 'cuda'}
        precision : {'float32', 'float16', 'int8'}

        Returns
        -------
        tolerance : float
        """
        kind = precision if precision != 'float32' else device
        if kind not in self._manifest.tolerance:
            raise BundleError(f'{self.id} states no tolerance of its self-test for {kind}')
        return self._manifest.tolerance[kind]
