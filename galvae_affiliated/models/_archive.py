# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The file of a bundle: a ZIP archive that ends with the hash of all that is before it."""

import hashlib
import io
import json
import zipfile

from galvae_affiliated.exceptions import BundleError
from galvae_affiliated.models.manifest import canonical_json

DIGEST_MARK = b'galvae-sha256:'
DIGEST_SIZE = 64


def pack(manifest, parts):
    """Bytes of a bundle; the same model gives the same bytes."""
    content = canonical_json(manifest) if isinstance(manifest, dict) else manifest
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, part in {'manifest.json': content, **parts}.items():
            # a fixed date: the archive depends on its content alone
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, part, zipfile.ZIP_DEFLATED)
        archive.comment = DIGEST_MARK + b'0' * DIGEST_SIZE
    body = buffer.getvalue()[:-DIGEST_SIZE]
    return body + hashlib.sha256(body).hexdigest().encode()


def unpack(content):
    """Entries of the manifest, and the parts, of a bundle's bytes."""
    ending = content[-DIGEST_SIZE - len(DIGEST_MARK):]
    if not content.startswith(b'PK') or DIGEST_MARK not in ending:
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
