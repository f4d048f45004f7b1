# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How images have to enter a model: its grid, its field of view, its renderings."""

import math
from dataclasses import dataclass, field

__all__ = ['ImageRendering', 'ModelFrame']


@dataclass(frozen=True)
class ImageRendering:
    """
    One way into a model.

    Attributes
    ----------
    name : str
    kind : {'composite', 'flux', 'rerender'}
        Composites as they are; flux that is rendered to a composite; composites of
        another survey, which are undone and rendered anew.
    bands : tuple of str
        From red to blue; empty for composites of any bands.
    softening, offset : float
        Of ``arcsinh(softening v) / sqrt(softening)``, and of ``v`` above the flux.
    scales : tuple of float
        Of ``v = scale flux + offset``, for the surface brightness of each band; empty where it
        is not stated.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> for rendering in get_model().frame.renderings:
    ...     print(rendering.name, rendering.kind, rendering.bands)
    composite composite ()
    sdss-gri flux ('i', 'r', 'g')
    sdss-grz flux ('z', 'r', 'g')
    legacy-composite rerender ('z', 'r', 'g')
    """

    name: str
    kind: str
    bands: tuple = ()
    softening: float = math.nan
    offset: float = math.nan
    scales: tuple = ()

    @property
    def curve(self):
        """tuple of float or None : Softening and offset, None where one is not stated."""
        values = self.softening, self.offset
        return values if all(map(math.isfinite, values)) else None


@dataclass(frozen=True)
class ModelFrame:
    """
    What a model asks of its images.

    Attributes
    ----------
    name : str
        Of the model, for messages.
    grid : int
        Side of a cutout in its own pixels.
    field_of_view : float
        Side of a cutout in units of petroR90.
    renderings : tuple of `ImageRendering`
        In the order of the table in the encoder's graph.
    typical : dict of str to dict of str to float
        By band, ``noise`` and ``flux`` of usual images; see
        `~galvae_affiliated.images.FieldImages`.

    Examples
    --------
    >>> from galvae_affiliated import get_model
    >>> frame = get_model().frame
    >>> frame.grid, frame.field_of_view
    (128, 5.12)
    >>> frame.band_sets()[0]
    [('i', 'r', 'g'), ('z', 'r', 'g')]
    """

    name: str
    grid: int
    field_of_view: float
    renderings: tuple
    typical: dict = field(default_factory=dict, repr=False)

    @classmethod
    def from_manifest(cls, name, entries, renderings):
        """
        The frame that parts of a manifest describe.

        Parameters
        ----------
        name : str
        entries : dict
            ``grid``, ``field_of_view`` and ``typical``.
        renderings : list of dict

        Returns
        -------
        frame : `ModelFrame`
        """
        parsed = tuple(
            ImageRendering(entry['name'], entry['kind'], tuple(entry.get('bands', ())),
                           float(entry.get('softening', math.nan)),
                           float(entry.get('offset', math.nan)),
                           tuple(map(float, entry.get('scales', ()))))
            for entry in renderings)
        return cls(name, entries['grid'], float(entries['field_of_view']), parsed,
                   entries.get('typical', {}))

    def flux_renderings(self, rendering=None):
        """
        Renderings of flux, or the one that was asked for.

        Parameters
        ----------
        rendering : str, optional

        Returns
        -------
        renderings : dict of str to tuple of str
            Name to bands from red to blue.

        Raises
        ------
        ValueError
            If there is no such rendering of flux.
        """
        known = {entry.name: entry.bands for entry in self.renderings if entry.kind == 'flux'}
        if rendering is None:
            return known
        if rendering not in known:
            raise ValueError(f'the model {self.name} has no rendering {rendering!r} of flux; '
                             f'it has {", ".join(known)}')
        return {rendering: known[rendering]}

    def band_sets(self, rendering=None):
        """
        The bands that the model takes best, and how it scales them.

        Parameters
        ----------
        rendering : str, optional
            As in `flux_renderings`, which names the sets in this order.

        Returns
        -------
        sets : list of tuple of str
        scales : list of tuple of float
            Empty ones where scales are not stated, or compressed in another way than those of
            the first set.
        """
        names = self.flux_renderings(rendering)
        entries = [entry for entry in self.renderings if entry.name in names]
        curve = entries[0].curve if entries else None
        scales = [entry.scales if curve and entry.curve == curve else () for entry in entries]
        return [entry.bands for entry in entries], scales

    def composite_rendering(self, rendering):
        """
        A rendering of composites by its name.

        Parameters
        ----------
        rendering : str

        Returns
        -------
        entry : `ImageRendering`

        Raises
        ------
        ValueError
            If there is no such rendering, or it is one of flux.
        """
        known = {entry.name: entry for entry in self.renderings if entry.kind != 'flux'}
        if rendering not in known:
            raise ValueError(f'the model {self.name} has no rendering {rendering!r} of composites; '
                             f'it has {", ".join(known)}')
        return known[rendering]
