# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A small page on this machine, on which a person says what is interesting."""

import json
import logging
import secrets
import threading
from collections import OrderedDict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np

from galvae_affiliated.explore.search import ANSWERS, ActiveSearch
from galvae_affiliated.pages._template import fill_page, to_json
from galvae_affiliated.pages._thumbnails import encode_picture
from galvae_affiliated.tables.identifiers import find_id_column, read_identifiers

__all__ = ['LabelServer']

logger = logging.getLogger(__name__)
HOST = '127.0.0.1'  # of this machine alone
PER_ROUND = 10  # answers after which it learns
MAX_BODY = 1024  # bytes of a request
TIMEOUT = 30.0  # seconds that a request may take to arrive
KEPT = 60  # pictures that are kept
MAX_ANSWERS = 4  # questions that are shown with their likeliest answer


class LabelServer:
    """
    A page that shows galaxies in the order of what it wants to know, and keeps what is said.

    It listens on the loopback address of this machine alone, answers whoever has the token of
    its address, and asks nothing of the network. It learns after every ten answers. Each
    answer is on the disk before the next galaxy is shown.

    Parameters
    ----------
    search : `~galvae_affiliated.explore.ActiveSearch`
    cutouts : `~galvae_affiliated.pages.TableCutouts`
        Of all rows of its table.
    port : int, optional
        0 takes one that is free.
    id_column : str, optional
        See `~galvae_affiliated.pages.write_report`.

    Raises
    ------
    ValueError
        If the numbers of rows differ.
    OSError
        If the port is taken.

    Examples
    --------
    >>> from galvae_affiliated.explore import ActiveSearch  # doctest: +SKIP
    >>> server = LabelServer(ActiveSearch(table, 'clicks.jsonl'), cutouts)  # doctest: +SKIP
    >>> print(server.url)  # doctest: +SKIP
    >>> server.run()  # until it is said to be enough  # doctest: +SKIP
    >>> table = server.search.add_score()  # doctest: +SKIP
    """

    def __init__(self, search: ActiveSearch, cutouts, *, port=0, id_column=None):
        if len(cutouts) != len(search.table):
            raise ValueError(f'there are cutouts of {len(cutouts)} rows; the table has '
                             f'{len(search.table)}')
        self.search = search
        self.rounds = _Rounds(search)
        self.pictures = _Pictures(cutouts)
        self.id_name = find_id_column(search.table, id_column)
        self.token = secrets.token_urlsafe(24)
        self._http = _Server((HOST, port), _Handler)
        self._http.label_server = self

    @property
    def port(self):
        """int : That it listens on."""
        return self._http.server_address[1]

    @property
    def url(self):
        """str : Address of the page, with its token."""
        return f'http://{HOST}:{self.port}/?token={self.token}'

    def run(self):
        """Answer until `stop` is called, or the person says that it is enough."""
        try:
            self._http.serve_forever(poll_interval=0.1)
        finally:
            self._http.server_close()

    def stop(self):
        """End `run`, from another thread."""
        self._http.shutdown()

    def state(self, row):
        """What the page shows: a row, None if all were looked at, and the counts, for JSON."""
        with self.rounds.lock:
            said = list(self.search.answers.values())
        shown = None
        if row is not None:
            identifier, = read_identifiers(self.search.table, self.id_name, [row])
            shown = {'row': int(row), 'id': identifier, 'lines': self._lines(row)}
        return {'shown': shown, 'counts': {answer: said.count(answer) for answer in ANSWERS},
                'rows': int(self.search.latents.measured.sum()),
                'until': PER_ROUND - len(said) % PER_ROUND}

    def _lines(self, row):
        """Likeliest answers of a row, where the table has them, and its flags."""
        from galvae_affiliated.flags import describe_flags

        table = self.search.table
        lines = []
        for question in self.search.latents.model.questions:
            name = f'{question}_answer'
            if name in table.colnames and not np.ma.is_masked(table[name][row]):
                lines.append(f'{question}: {table[name][row]}')
        flags = describe_flags(self.search.latents.flags[row])
        return lines[:MAX_ANSWERS] + ([', '.join(flags)] if flags else [])


class _Rounds:
    """
    Ten rows at a time, in the order of what is to be known; one thread at a time asks.

    Parameters
    ----------
    search : `~galvae_affiliated.explore.ActiveSearch`
    """

    def __init__(self, search):
        self.search = search
        self.lock = threading.Lock()
        self.waiting = []

    def next(self):
        """The next row; None if all were looked at."""
        with self.lock:
            return self._next()

    def ahead(self):
        """Rows that follow in this round."""
        with self.lock:
            return self.waiting[1:]

    def answer(self, row, answer):
        """Keep an answer; returns the next row."""
        with self.lock:
            self.search.answer(row, answer)
            self.waiting = [other for other in self.waiting if other != row]
            return self._next()

    def undo(self):
        """Take back the last answer; returns its row, or the next if there was none."""
        with self.lock:
            row = self.search.undo()
            if row is not None:
                self.waiting = [row, *(other for other in self.waiting if other != row)]
            return self._next()

    def _next(self):
        if not self.waiting:
            self.waiting = self.search.next_rows(PER_ROUND).tolist()
        return self.waiting[0] if self.waiting else None


class _Pictures:
    """
    Pictures of rows as WebP, the last ones kept.

    Parameters
    ----------
    cutouts : `~galvae_affiliated.pages.TableCutouts`
    """

    def __init__(self, cutouts):
        self.cutouts = cutouts
        self.lock = threading.Lock()
        self.kept = OrderedDict()

    def __call__(self, row):
        """bytes : WebP of a row."""
        with self.lock:
            if row not in self.kept:
                picture, = self.cutouts.pictures(np.array([row]))
                self.kept[row] = encode_picture(picture)
                while len(self.kept) > KEPT:
                    self.kept.popitem(last=False)
            return self.kept[row]


class _Server(ThreadingHTTPServer):
    """A thread a request; one that the browser gave up is nothing to write of."""

    daemon_threads = True

    def handle_error(self, *_):
        logger.debug('a request was not finished', exc_info=True)


class _RequestError(Exception):
    """A request that is not answered, and the code that says why."""

    def __init__(self, status):
        super().__init__(status.phrase)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = TIMEOUT
    server_version, sys_version = 'galvae', ''

    def do_GET(self):
        self._respond(self._get)

    def do_POST(self):
        self._respond(self._post)

    def log_message(self, *_):
        """Nothing is written to the terminal."""

    def _respond(self, function):
        try:
            self._check()
            kind, content = function()
        except _RequestError as error:
            self._send(error.status, 'text/plain', str(error).encode())
        except (ValueError, IndexError) as error:
            self._send(HTTPStatus.BAD_REQUEST, 'text/plain', str(error).encode())
        except Exception as error:
            logger.exception('a request failed')
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, 'text/plain', str(error).encode())
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _check(self):
        """
        Refuse whoever is not the person at this machine.

        Another page may make a browser ask, by a name that it makes point here: the name tells,
        and it does not know the token.
        """
        port = self.server.server_address[1]
        if self.headers.get('Host') not in (f'{HOST}:{port}', f'localhost:{port}'):
            raise _RequestError(HTTPStatus.FORBIDDEN)
        address = urlsplit(self.path)
        given = parse_qs(address.query).get('token', [''])[0].encode()
        if not secrets.compare_digest(given, self.server.label_server.token.encode()):
            raise _RequestError(HTTPStatus.FORBIDDEN)
        self.words = address.path.strip('/').split('/')

    def _get(self):
        server = self.server.label_server
        if self.words == ['']:
            parts = {'answers': to_json(list(ANSWERS))}
            page = fill_page('label/label.html', styles=['label/label.css'],
                             scripts=['label/label.js'], parts=parts, connect="'self'",
                             images="'self' data:")
            return 'text/html; charset=utf-8', page.encode()
        if self.words == ['next']:
            return self._state(server.rounds.next())
        if len(self.words) == 2 and self.words[0] == 'cutout' and self.words[1].isdecimal():
            row = int(self.words[1][:18])
            if row >= len(server.search.table):
                raise _RequestError(HTTPStatus.NOT_FOUND)
            return 'image/webp', server.pictures(row)
        raise _RequestError(HTTPStatus.NOT_FOUND)

    def _post(self):
        server = self.server.label_server
        if self.words == ['answer']:
            said = self._body()
            row, answer = said.get('row'), said.get('answer')
            if type(row) is not int or not isinstance(answer, str):
                raise _RequestError(HTTPStatus.BAD_REQUEST)
            return self._state(server.rounds.answer(row, answer))
        if self.words == ['undo']:
            return self._state(server.rounds.undo())
        if self.words == ['stop']:
            threading.Thread(target=server.stop, daemon=True).start()
            return self._state(None)
        raise _RequestError(HTTPStatus.NOT_FOUND)

    def _body(self):
        """What was sent, a JSON object of few bytes."""
        length = self.headers.get('Content-Length', '')
        if not length.isdecimal():
            raise _RequestError(HTTPStatus.LENGTH_REQUIRED)
        if int(length[:18]) > MAX_BODY:
            self.close_connection = True
            raise _RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        value = json.loads(self.rfile.read(int(length)))
        if not isinstance(value, dict):
            raise _RequestError(HTTPStatus.BAD_REQUEST)
        return value

    def _state(self, row):
        server = self.server.label_server
        state = {**server.state(row), 'ahead': server.rounds.ahead()[:3]}
        return 'application/json', json.dumps(state).encode()

    def _send(self, status, kind, content):
        self.send_response(status)
        for name, value in (('Content-Type', kind), ('Content-Length', str(len(content))),
                            ('Cache-Control', 'no-store'), ('Referrer-Policy', 'no-referrer'),
                            ('X-Content-Type-Options', 'nosniff'), ('X-Frame-Options', 'DENY')):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
