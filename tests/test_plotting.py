# Licensed under a 3-clause BSD style license - see LICENSE.rst
from astropy.table import Table

from galvae_affiliated.flags import GalvaeFlags as Flags
from galvae_affiliated.plotting import gallery_rows


def test_galleries_lead_with_what_can_be_trusted():
    flags = [Flags.POINT_SOURCE, Flags.RADIUS_UNCERTAIN, Flags.EDGE, 0, Flags.NO_RADIUS,
             Flags.ARTIFACT, 0, Flags.SCALE_ESTIMATED]
    table = Table({'galvae_flags': flags, 'galvae_radius': [90.0, 80, 70, 3, 60, 95, 5, 4]})
    assert gallery_rows(table).tolist() == [6, 7, 3, 2, 1, 5, 0]
    assert gallery_rows(table, limit=2).tolist() == [6, 7]
