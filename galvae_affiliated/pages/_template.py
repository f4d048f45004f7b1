# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pages out of files: texts that are nothing but text, scripts that are known by their hash."""

import base64
import hashlib
import json
import re
from html import escape
from importlib import resources

__all__ = ['fill_page', 'read_template', 'table_rows', 'to_json']

PLACE = re.compile(r'\{\{(\w+)\}\}')
# what could end a script, or begin a comment in it
UNSAFE = {'<': '\\u003c', '>': '\\u003e', '&': '\\u0026', '\u2028': '\\u2028',
          '\u2029': '\\u2029'}


def read_template(name):
    """Text of a file of the folder ``templates``."""
    path = resources.files('galvae_affiliated.pages').joinpath('templates', *name.split('/'))
    return path.read_text(encoding='utf-8')


def to_json(value):
    """JSON that can stand in a script element, whatever is in its texts."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return ''.join(UNSAFE.get(letter, letter) for letter in text)


def fill_page(name, *, styles, scripts, parts, connect="'none'", images='data: blob:'):
    """
    A page of one piece.

    Its policy lets the browser run these scripts alone, known by their hash, and load nothing
    from anywhere.

    Parameters
    ----------
    name : str
        Of the template, which has ``{{places}}``.
    styles, scripts : list of str
        Names of templates.
    parts : dict of str to str
        HTML of the other places; texts in it are escaped already.
    connect, images : str, optional
        What the policy says of requests and of images.

    Returns
    -------
    page : str
    """
    style = '\n'.join(map(read_template, styles))
    # a scope of its own: nothing of it is seen from outside
    script = "'use strict';\n{\n" + '\n'.join(map(read_template, scripts)) + '\n}'
    policy = (f"default-src 'none'; img-src {images}; connect-src {connect}; "
              f"style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; "
              "form-action 'none'")
    places = {**parts, 'style': style, 'script': script, 'policy': policy}
    # one pass: what was put in is not looked at again
    return PLACE.sub(lambda match: places[match.group(1)], read_template(name))


def _hash(text):
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def table_rows(rows, head=None):
    """HTML of a table of texts; escaped here."""
    def line(cells, tag):
        return '<tr>' + ''.join(f'<{tag}>{escape(str(cell))}</{tag}>' for cell in cells) + '</tr>'

    lines = [] if head is None else [f'<thead>{line(head, "th")}</thead>']
    body = ''.join(line(cells, 'td') for cells in rows)
    return f'<div class="wide"><table>{"".join(lines)}<tbody>{body}</tbody></table></div>'
