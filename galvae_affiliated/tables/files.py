# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables from and to files of the formats that astronomers use."""

import os
from pathlib import Path

# ending of the output file: format name of astropy's Table, and its options
HDF5 = ('hdf5', {'path': 'galvae', 'serialize_meta': True})
FORMATS = {'.fits': ('fits', {}), '.fit': ('fits', {}), '.ecsv': ('ascii.ecsv', {}), '.parquet': ('parquet', {}),
           '.vot': ('votable', {}), '.xml': ('votable', {}), '.h5': HDF5, '.hdf5': HDF5, '.csv': ('ascii.csv', {})}


def output_format(path):
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f'{path}: the ending {suffix!r} is no known format; expected one of {", ".join(FORMATS)}')
    return FORMATS[suffix]


def write_table(table, path, kind, keywords):
    """Write beside the target, then rename: a run that is ended leaves no half table. Returns the number of rows."""
    if kind in ('votable', 'ascii.csv'):
        table = without_coordinates(table)
    unfinished = Path(path).with_name(f'.{Path(path).name}.part')
    try:
        table.write(unfinished, format=kind, overwrite=True, **keywords)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(table)


def without_coordinates(table):
    """SkyCoord columns as two of degrees: VOTable and CSV cannot hold the object."""
    from astropy.coordinates import SkyCoord

    for name in [name for name in table.colnames if isinstance(table[name], SkyCoord)]:
        place, sky = table.index_column(name), table[name].icrs
        table.replace_column(name, sky.ra)
        table.rename_column(name, f'{name}.ra')
        table.add_column(sky.dec, index=place + 1, name=f'{name}.dec')
    return table


def read_catalog(path):
    """A table of any format that astropy recognises by its ending or content."""
    from astropy.io.registry import IORegistryError
    from astropy.table import QTable

    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: there is no such file')
    kinds = [FORMATS[suffix][0]] if (suffix := Path(path).suffix.lower()) in FORMATS else ['ascii']
    failures = []
    for kind in [None, *kinds]:
        try:
            table = QTable.read(path, format=kind) if kind else QTable.read(path)
            # SExtractor's FITS_LDAC holds the image's header in a table of its own, before that of the objects
            return QTable.read(path, hdu='LDAC_OBJECTS') if table.colnames == ['Field Header Card'] else table
        except (IORegistryError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            failures.append(error)
    raise ValueError(f'{path}: this is not a table that can be read ({failures[-1]})')
