# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A headless Chromium, spoken to over two pipes; nothing but the standard library is needed."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time

CHROMIUM = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
PATIENCE = 120.0  # seconds, for machines that are busy
# the browser listens to descriptor 3 and writes to 4
START = (
    'import fcntl, os, sys\n'
    'listens, writes = (fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3])\n'
    'os.dup2(listens, 3)\n'
    'os.dup2(writes, 4)\n'
    'os.execvp(sys.argv[3], sys.argv[3:])\n'
)


class Browser:
    """
    One page of a browser, whose errors and requests are kept.

    Parameters
    ----------
    folder : path
        For its profile and for what it saves.
    size : (int, int), optional
        Width and height of the window.
    touch : bool, optional
        Fingers in place of a mouse.
    """

    def __init__(self, folder, size=(1280, 900), touch=False):
        self.folder = folder
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        words = [
            *(CHROMIUM, '--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run'),
            *('--disable-background-networking', '--disable-dev-shm-usage', '--no-proxy-server'),
            *('--remote-debugging-pipe', f'--user-data-dir={folder}/profile', 'about:blank'),
        ]

        self.process = subprocess.Popen(
            [sys.executable, '-c', START, str(to_browser), str(from_browser), *words],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b''
        self._number = 0
        self.session = None
        self.errors = []
        self.requests = []
        try:
            self._attach(size, touch)
        except BaseException:
            self.close()
            raise

    def _attach(self, size, touch):
        page = next(
            target
            for target in self.call('Target.getTargets')['targetInfos']
            if target['type'] == 'page'
        )
        found = self.call('Target.attachToTarget', targetId=page['targetId'], flatten=True)
        self.session = found['sessionId']
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            self.call(f'{domain}.enable')
        self.resize(*size, touch=touch)
        self.call('Browser.setDownloadBehavior', behavior='allow', downloadPath=str(self.folder))

    def resize(self, width, height, touch=False):
        """Set the size of the window, in pixels of its own."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        self.call('Emulation.setTouchEmulationEnabled', enabled=touch)
        # the page has been laid out anew, and what watches its size has been told
        self.wait(f'window.innerWidth === {width}')
        self.run('new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))')

    def call(self, method, **params):
        """One command of the protocol, and what it gives."""
        self._number += 1
        number = self._number
        message = {'id': number, 'method': method, 'params': params}
        if self.session:
            message['sessionId'] = self.session
        os.write(self._out, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._next_message()
            if answer.get('id') == number:
                if 'error' in answer:
                    raise RuntimeError(f'{method}: {answer["error"]}')
                return answer['result']

    def _next_message(self):
        end = time.monotonic() + PATIENCE
        while b'\0' not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise TimeoutError('the browser does not answer')
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError('the browser has ended')
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b'\0')
        message = json.loads(text)
        self._keep(message)
        return message

    def _keep(self, message):
        """Keep what the page complains of, and what it asks the network for."""
        method, params = message.get('method'), message.get('params')
        if method == 'Runtime.exceptionThrown':
            details = params['exceptionDetails']
            self.errors.append(details.get('exception', {}).get('description', details['text']))
        elif method == 'Log.entryAdded' and params['entry']['level'] == 'error':
            self.errors.append(f'{params["entry"]["text"]} {params["entry"].get("url", "")}')
        elif method == 'Runtime.consoleAPICalled' and params['type'] in ('error', 'assert'):
            self.errors.append(str(params['args']))
        elif method == 'Network.requestWillBeSent':
            self.requests.append(params['request']['url'])

    def open(self, url, ready="document.body.dataset.ready === 'yes'"):
        """Load a page, and wait until an expression is true in it."""
        self.call('Page.navigate', url=url)
        self.wait(ready)

    def run(self, expression):
        """Value of an expression in the page; a promise is waited for."""
        result = self.call(
            'Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True
        )
        if 'exceptionDetails' in result:
            raise RuntimeError(result['exceptionDetails']['exception']['description'])
        return result['result'].get('value')

    def wait(self, expression, patience=PATIENCE):
        """Wait until an expression is true."""
        end = time.monotonic() + patience
        while True:
            with contextlib.suppress(RuntimeError):  # a page that is not there yet
                if self.run(expression):
                    return
            if time.monotonic() > end:
                raise TimeoutError(f'{expression} stays false; errors: {self.errors}')
            time.sleep(0.05)

    def mouse(self, kind, x, y, **more):
        """'mousePressed', 'mouseMoved', 'mouseReleased' or 'mouseWheel' at a place."""
        is_pressed = kind in ('mousePressed', 'mouseReleased') or 'buttons' in more
        button = 'left' if is_pressed else 'none'
        self.call(
            'Input.dispatchMouseEvent', type=kind, x=x, y=y, button=button, clickCount=1, **more
        )

    def click(self, x, y):
        for kind in ('mouseMoved', 'mousePressed', 'mouseReleased'):
            self.mouse(kind, x, y)

    def drag(self, places):
        """Press the button at the first place, release it at the last."""
        self.mouse('mousePressed', *places[0])
        for place in places[1:]:
            self.mouse('mouseMoved', *place, buttons=1)
        self.mouse('mouseReleased', *places[-1])

    def key(self, key):
        for kind in ('keyDown', 'keyUp'):
            text = {'text': key} if len(key) == 1 and kind == 'keyDown' else {}
            self.call('Input.dispatchKeyEvent', type=kind, key=key, **text)

    def screenshot(self, path, full=False):
        options = {'captureBeyondViewport': True} if full else {}
        if full:
            size = self.call('Page.getLayoutMetrics')['cssContentSize']
            options['clip'] = {**size, 'scale': 1}
        data = self.call('Page.captureScreenshot', format='png', **options)['data']
        path.write_bytes(base64.b64decode(data))

    def close(self):
        with contextlib.suppress(Exception):
            self.call('Browser.close')
        os.close(self._out)
        os.close(self._in)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
