# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables from and to files of the formats that astronomers use."""

from pathlib import Path

from galvae_affiliated._atomic import replacing

# ending of the output file: format name of astropy's Table, and its options
HDF5 = ('hdf5', {'path': 'galvae', 'serialize_meta': True})
FORMATS = {'.fits': ('fits', {}), '.fit': ('fits', {}), '.ecsv': ('ascii.ecsv', {}),
           '.parquet': ('parquet', {}), '.vot': ('votable', {}), '.xml': ('votable', {}),
           '.h5': HDF5, '.hdf5': HDF5, '.csv': ('ascii.csv', {})}


def output_format(path):
    """Format of astropy's tables for the ending of a file, and options of its writer."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f'{path}: the ending {suffix!r} is no known format; '
                         f'expected one of {", ".join(FORMATS)}')
    return FORMATS[suffix]


def write_table(table, path):
    """
    Write a table in the format that the file's ending says; a run that is ended leaves no half.

    Parameters
    ----------
    table : `~astropy.table.Table`
    path : str or path
        A file of this name is replaced.

    Returns
    -------
    n_rows : int
    """
    kind, options = output_format(path)
    if kind in ('votable', 'ascii.csv'):
        table = _without_coordinates(table)
    with replacing(path) as unfinished:
        table.write(unfinished, format=kind, overwrite=True, **options)
    return len(table)


def _without_coordinates(table):
    """SkyCoord columns as two of degrees: VOTable and CSV cannot hold the object."""
    from astropy.coordinates import SkyCoord

    for name in [name for name in table.colnames if isinstance(table[name], SkyCoord)]:
        place = table.index_column(name)
        sky = table[name].icrs
        table.replace_column(name, sky.ra)
        table.rename_column(name, f'{name}.ra')
        table.add_column(sky.dec, index=place + 1, name=f'{name}.dec')
    return table


def read_catalog(path):
    """
    A table of any format that astropy recognises by its ending or content.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    table : `~astropy.table.QTable`

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no table that can be read.
    """
    from astropy.io.registry import IORegistryError

    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: there is no such file')
    by_ending, _ = FORMATS.get(Path(path).suffix.lower(), ('ascii', {}))
    for kind in (None, by_ending):
        try:
            return _read_as(path, kind)
        except (IORegistryError, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            failure = error
    raise ValueError(f'{path}: this is not a table that can be read ({failure})')


def _read_as(path, kind):
    from astropy.table import QTable

    table = QTable.read(path, format=kind) if kind else QTable.read(path)
    if table.colnames == ['Field Header Card']:
        # SExtractor's FITS_LDAC holds the image's header in a table before that of the objects
        return QTable.read(path, hdu='LDAC_OBJECTS')
    return table
